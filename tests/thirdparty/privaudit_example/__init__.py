"""A third-party plugin package, as somebody else would write it."""
