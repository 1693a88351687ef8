# %% [markdown]
# # My encoder, in a notebook
#
# A function is enough: it takes an image and a source of secret numbers, and returns what would be sent. The data are
# virtual brains that privaudit makes itself. This small audit (20 people, coarse voxels, one attack) takes a minute.

# %%
import numpy as np

import privaudit


def half_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the image, half noise: float32 [X, Y, Z] in, the same shape out."""
    return 0.5 * image + 0.5 * rng.random(image.shape)


# %% [markdown]
# Everything secret is drawn from `rng`, and from nothing else. The audit repeats the function with equal secrets and
# refuses one that gives something else. Standard error says how many jobs there are and when each is done; `quiet=True`
# would say nothing.

# %%
people = {"name": "phantom", "subjects": 20, "sessions": 2, "voxel_mm": 4}
result = privaudit.audit(half_noise, dataset=people, attacks=["reid"], controls="single", out="half-noise")

# %% [markdown]
# A cell that ends with the result shows verdict and table.

# %%
result

# %% [markdown]
# The same figures as a table for pandas, and the verdict with its reason:

# %%
print(result.verdict, "-", result.reason)
result.table[["attack", "metric", "estimate [95 % CI]", "verdict"]]

# %% [markdown]
# `result.card()` writes a page that explains all this, and says where it is. To pass, an encoder needs about 130
# victims: with ten, silence is INCONCLUSIVE. `privaudit.audit(half_noise, out="real")` is the real audit: the standard
# battery on 300 people.
