"""Built-in defenses, one module each, named as on the command line."""
