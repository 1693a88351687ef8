"""The server: it holds the segmentation network and nothing else, and speaks the Open Inference Protocol v2.

``app.py`` is the ASGI application, ``batching.py`` joins requests into forward passes, ``engine.py`` reads the network.
Nothing here, and nothing that it imports, knows of keys, references or unmixing; import-linter and a test check it.
"""
