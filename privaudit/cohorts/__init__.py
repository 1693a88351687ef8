"""Cohorts the package knows how to read or to make: ``bids``, ``brats2021``, ``phantom``, ``ppmi``."""
