"""From claims and truth to findings and verdicts; one folder for each kind of claim.

Pure but for tensors: scoring reads what it is given, and returns rows and findings.
Nothing here runs an attack, reads a cohort or writes a file.
"""
