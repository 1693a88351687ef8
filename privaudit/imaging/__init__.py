"""Images as arrays: cutting and stitching patches, mixing, smooth deformation, registration to an atlas.

Mathematics on tensors alone. Nothing here knows of people, attacks or verdicts.
"""
