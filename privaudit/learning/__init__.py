"""Learning, for whoever trains: the loop that resumes to the same loss curve, its checkpoints and options.

Also what learning attackers share: their own people as the scheme would send them, and a metric of who is who.
Nothing here knows what a verdict is.
"""
