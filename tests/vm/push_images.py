# SPDX-License-Identifier: Apache-2.0
"""Pushes the suites' images into a registry whose storage is the given directory.   push_images.py DIRECTORY
In a network namespace that is the caller's to give. Writes the digest that stands in for critest's pinned one, and the diff_ids of
the images whose content noise.py knows."""
import json
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "conformance"), str(TESTS / "vm")]

import noise
from images import push_all
from support import oci, registry


def main():
    storage = pathlib.Path(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as work:
        server = registry.Registry(pathlib.Path(work), storage, 5000)
        pinned = push_all(server.host)
        push = oci.Push(server.host)
        base = oci.busybox_tree().bytes()
        environment = {"Env": [oci.PATH], "Cmd": ["sh"]}
        push.image("test/busybox", "1", oci.Image([base], environment))
        programs = oci.Tree().file("bin/hold", oci.stand_in(), 0o755).file("bin/nnp", oci.stand_in(), 0o4755)
        push.image("test/web", "1", oci.Image([base, programs.bytes()], environment))
        layers = {seed: noise.layer(oci, seed) for n in range(noise.IMAGES) for seed in noise.seeds(n)}
        for n in range(noise.IMAGES):
            push.image(f"test/noise-{n}", "1", oci.Image([layers[seed] for seed in noise.seeds(n)], environment))
        server.close()
    (storage / "noise.json").write_text(json.dumps({oci.digest(data): seed for seed, data in layers.items()}))
    (storage / "pinned-digest").write_text(pinned)


main()
