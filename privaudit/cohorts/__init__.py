"""Cohorts that the package knows how to read or to make: ``bids``, ``brats2021``, ``phantom``, ``ppmi``.

Layouts, checks of files, grids, labels, simulated sessions. What is done with scans is the business of others.
Nothing here knows of encodings or attacks.
"""
