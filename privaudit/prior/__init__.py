"""A score prior of raw patches, trained on the attacker's population sample, and separating mixtures with it.

The network, its training and checks, noise schedules, samplers.
Nothing here knows of transcripts: the attack that uses it hands over tensors.
"""
