"""An encoder in a file, as somebody would write it: the image with secret noise, seeded by what it is given."""

import numpy as np

from privaudit import ArrayDefense


class NoisyEncoder(ArrayDefense):
    """The image in noise."""

    def encode_array(self, image: np.ndarray, rng: np.random.Generator, scan: str) -> np.ndarray:
        return 0.5 * image + 0.5 * rng.random(image.shape)


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same as a function."""
    return 0.5 * image + 0.5 * rng.random(image.shape)


def halved(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three channels of half the size."""
    small = image[::2, ::2, ::2]
    return np.stack([small, 1 - small, small**2])


def projected(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A secret that is the same for everybody: 600 random projections."""
    flat = image[::2, ::2, ::2].ravel()
    return np.asarray(np.random.default_rng(1).standard_normal((600, flat.size)).astype(np.float32) @ flat)
