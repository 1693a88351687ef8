"""Captured traffic: recording it, reading it, and accounting for every byte of it.

``proxy.py`` records, ``har.py`` and ``cloudevents.py`` read files, ``flows.py`` is what all of them speak of;
``grouping.py`` infers which requests belong to one scan, ``account.py`` names whatever left beside patches.
Nothing here encodes, attacks or scores.
"""
