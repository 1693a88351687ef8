"""The contract: all that the author of a plugin imports, for attacks, defenses, datasets and reports.

Base classes, what is handed over (transcripts, knowledge), what is handed back (claims), options and plugin discovery.
Nothing here runs, scores or reads an audit; nothing here imports the engine.
"""
