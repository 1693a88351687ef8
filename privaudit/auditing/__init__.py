"""The engine: from a specification to a finished run.

The scene, which alone holds the secrets; jobs, their plan and their store; utility; panels and sweeps of audits.
How claims are scored and how verdicts come about is none of its business: it asks :mod:`privaudit.scoring`.
"""
