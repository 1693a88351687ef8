"""The command line: it reads options, calls what does the work, and prints.

Importing it is cheap; each command imports what it needs when it runs.
Nothing is computed here, and nobody else prints.
"""

from privaudit.cli.app import main

__all__ = ["main"]
