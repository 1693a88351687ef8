"""The noisy encoder as a program of its own: python encode_noisy.py INPUT OUTPUT SEED."""

import sys

import numpy as np

if __name__ == "__main__":
    given, wanted, seed = sys.argv[1:]
    image = np.load(given)
    sent = 0.5 * image + 0.5 * np.random.default_rng(int(seed)).random(image.shape)
    np.save(wanted, sent.astype(np.float32))
