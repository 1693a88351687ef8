"""The kind of claim 'similarity': how alike the attacker finds scans, scored as a ranking of people.

How claims are checked and scored, decided and put in words. Nothing here knows of other kinds.
"""
