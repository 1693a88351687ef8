"""The kind of claim 'reconstruction': the attacker's picture of a target, compared with the true image.

How claims are checked and scored, decided, drawn and put in words. Nothing here knows of other kinds.
"""
