# SPDX-License-Identifier: Apache-2.0
"""Images whose content can be checked without Berth: the same seed gives the same bytes. Each has three layers: one that all
share and two of its own."""
import random

IMAGES = 3


def contents(seed):
    """path -> bytes: a few large files and many small ones, whose bytes are never a row of zeros."""
    rng = random.Random(seed)
    files = {f"noise-{seed}/large-{n}": rng.randbytes(rng.randrange(1 << 20, 3 << 20)) for n in range(2)}
    for n in range(150):
        files[f"noise-{seed}/d{n % 10}/small-{n}"] = rng.randbytes(rng.randrange(1, 20000))
    return files


def seeds(image):
    return [100, 200 + image, 300 + image]


def layer(oci, seed):
    tree = oci.Tree().directory(f"noise-{seed}")
    for n in range(10):
        tree.directory(f"noise-{seed}/d{n}")
    for path, data in contents(seed).items():
        tree.file(path, data)
    return tree.bytes()


def damage(root, seed):
    """What is wrong with the layer's files below a directory, as lines."""
    wrong = []
    for path, data in contents(seed).items():
        file = root / path
        found = file.read_bytes() if file.is_file() else None
        if found is None:
            wrong.append(f"{path} is missing")
        elif found != data:
            wrong.append(f"{path}: {len(found)} bytes, {found.count(0)} of them zero, instead of {len(data)}")
    return wrong
