"""Built-in attacks, one module each, named as on the command line."""
