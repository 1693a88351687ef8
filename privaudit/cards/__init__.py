"""Cards: what must run parts of an audit again to draw, and the writing of cards into run folders.

How a card looks is the business of report plugins; how a figure comes about is that of :mod:`privaudit.scoring`.
"""
