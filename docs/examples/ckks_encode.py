"""CKKS encryption as a scheme: what a server sees that computes on ciphertexts. Needs `pip install 'privaudit[he]'`.

privaudit audit --defense command --command 'python ckks_encode.py {input} {output}' --format npy

Each scan is encrypted under a fresh key (Cheon, Kim, Kim and Song, ASIACRYPT 2017; ring 16384, TenSEAL). A whole scan
is tens of megabytes of ciphertext: what is written, and attacked, are the first 131072 bytes of the ciphertext of the
8192 voxels in the middle.
"""

import sys

import numpy as np
import tenseal

SLOTS = 8192
BYTES = 2**17

image = np.load(sys.argv[1])
x, y, z = (side // 2 for side in image.shape)
middle = image[max(0, x - 16) : x + 16, max(0, y - 8) : y + 8, max(0, z - 8) : z + 8].ravel()[:SLOTS]
context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, 16384, coeff_mod_bit_sizes=[60, 40, 40, 60])
context.global_scale = 2**40
sent = np.frombuffer(tenseal.ckks_vector(context, middle).serialize(), dtype=np.uint8)
np.save(sys.argv[2], sent[:BYTES])
