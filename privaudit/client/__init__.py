"""The client's side of the wire: what sends encoded patches to a server elsewhere and looks at what comes back.

``remote.py`` stands in for a server in the same process; ``connection.py`` is HTTP; ``checking.py`` notices lies.
Nothing here holds an image or a key: it is handed what may be sent.
"""
