"""``python -m privaudit`` is the command line."""

from privaudit.cli import main

if __name__ == "__main__":
    main()
