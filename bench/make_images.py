# SPDX-License-Identifier: Apache-2.0
"""The images of bench/pull, made of files that this machine has below /usr and kept in a registry's own store:
eight   8 layers of 140 MB: about 360 MB of gzip      big     one layer of 560 MB
small   one layer of 60 000 files of 0.2 to 4 KB"""
import hashlib
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from support import oci

LAYER_BYTES, BIG_BYTES, SMALL_FILES = 140 << 20, 560 << 20, 60_000
EPOCH = 1704067200
NAMES = ("eight", "big", "small")


def files_of_this_machine():
    """Directory by directory, in an order that is the same each time and mixes programs, libraries and texts."""
    directories = []
    for path, names, files in os.walk("/usr"):
        names[:] = sorted(n for n in names if n not in ("debug", "local"))
        directories.append((path, sorted(files)))
    random.Random(4).shuffle(directories)
    for path, files in directories:
        for name in files:
            full = os.path.join(path, name)
            if os.path.islink(full) or not os.path.isfile(full) or os.path.getsize(full) > 24 << 20:
                continue
            yield full


class Layer:
    """A tar that goes through gzip -6 into a file while it is made; both digests at the end."""

    def __init__(self, path):
        self.path, self.size, self.count = path, 0, 0
        self._diff = hashlib.sha256()
        self._out = open(path, "wb")
        self._gzip = subprocess.Popen(["gzip", "-6n"], stdin=subprocess.PIPE, stdout=self._out)
        self._tar = tarfile.open(fileobj=self, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20)
        self._directories = set()

    def write(self, data):
        self._diff.update(data)
        self._gzip.stdin.write(data)
        self.size += len(data)
        return len(data)

    def _info(self, name, kind, mode, size=0):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.mtime = kind, mode, size, EPOCH
        return info

    def add(self, name, data, mode=0o644):
        parts = name.split("/")[:-1]
        for i in range(1, len(parts) + 1):
            directory = "/".join(parts[:i])
            if directory not in self._directories:
                self._directories.add(directory)
                self._tar.addfile(self._info(directory, tarfile.DIRTYPE, 0o755))
        self._tar.addfile(self._info(name, tarfile.REGTYPE, mode, len(data)), io.BytesIO(data))
        self.count += 1

    def finish(self):
        self._tar.close()
        self._gzip.stdin.close()
        if self._gzip.wait() != 0:
            raise RuntimeError("gzip failed")
        self._out.close()
        self.diff_id = "sha256:" + self._diff.hexdigest()
        with open(self.path, "rb") as file:
            self.digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
                else "sha256:" + hashlib.sha256(file.read()).hexdigest()
        return self


def _copies(source, work, name, layers, bytes_each):
    made = []
    for i in range(layers):
        layer = Layer(work / f"{name}-{i}.tar.gz")
        while layer.size < bytes_each:
            path = next(source)
            with open(path, "rb") as file:
                layer.add(path.lstrip("/"), file.read(), 0o755 if os.access(path, os.X_OK) else 0o644)
        made.append(layer.finish())
    return made


def _small(work):
    random_ = random.Random(5)
    layer = Layer(work / "small-0.tar.gz")
    text = b"".join(open(p, "rb").read() for p, _ in zip(files_of_this_machine(), range(400)))
    for i in range(SMALL_FILES):
        begin = random_.randrange(len(text) - 4096)
        layer.add(f"data/{i // 2000}/{i // 40}/file-{i}", text[begin:begin + random_.randrange(200, 4096)])
    return [layer.finish()]


def push(host, repository, layers):
    """As `curl -T` would: the layers are too large to be held in memory."""
    sender = oci.Push(host)
    config = json.dumps({"created": "2024-01-01T00:00:00Z", "architecture": oci.ARCH, "os": "linux", "config": {"Cmd": ["x"]},
                         "rootfs": {"type": "layers", "diff_ids": [l.diff_id for l in layers]}}).encode()
    sender.blob(repository, config)
    for layer in layers:
        sender.blob(repository, layer.path.read_bytes())
    manifest = {"schemaVersion": 2, "mediaType": oci.MANIFEST,
                "config": {"mediaType": oci.CONFIG, "digest": oci.digest(config), "size": len(config)},
                "layers": [{"mediaType": oci.LAYER + "+gzip", "digest": l.digest, "size": l.path.stat().st_size} for l in layers]}
    sender.manifest(repository, "1", json.dumps(manifest).encode())


def make(host, work, facts_path):
    """Makes and pushes what is missing; says of each image how large it is."""
    facts = {}
    for name in NAMES:
        source = files_of_this_machine()
        print(f"making image {name}", flush=True)
        if name == "eight":
            layers = _copies(source, work, name, 8, LAYER_BYTES)
        elif name == "big":
            layers = _copies(source, work, name, 1, BIG_BYTES)
        else:
            layers = _small(work)
        push(host, f"bench/{name}", layers)
        facts[name] = {"layers": [l.digest for l in layers], "files": sum(l.count for l in layers),
                       "compressed": sum(l.path.stat().st_size for l in layers), "unpacked": sum(l.size for l in layers)}
        for layer in layers:
            layer.path.unlink()
    facts_path.write_text(json.dumps(facts, indent=1))
    return facts
