"""The protected segmentation system: networks, their training, weights, and the client's and server's parts.

Trainings of the schemes that learn (mixup's unmixing, Privacy-Net, Deformation-Proxy) live here too.
Nothing here attacks; how well a trained system does on victims is measured in :mod:`privaudit.auditing`.
"""
