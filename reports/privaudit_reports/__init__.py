"""Built-in report renderers, one module each, named as on the command line."""
