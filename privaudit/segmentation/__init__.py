"""The protected segmentation system: networks, their training, and the client's and server's parts in using them."""
