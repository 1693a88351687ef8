"""The wire format: requests and answers of the Open Inference Protocol v2, with tensors in binary.

Server, client and the audit of traffic read and write it here, so that all three mean the same by a byte.
Nothing here opens a socket, knows of people, or holds a key.
"""
