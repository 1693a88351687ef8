"""Attributes: how well claims about people's age and sex are, against who does not look at what was sent.

Here live the kind of claim and its figures; how claims are made is the business of attacks.
"""
