# SPDX-License-Identifier: Apache-2.0
"""Builds OCI images in memory, deterministically, and writes them as OCI layouts or into a registry over HTTP."""
import functools
import gzip
import hashlib
import http.client
import io
import json
import pathlib
import platform
import socket
import subprocess
import tarfile
import tempfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
EPOCH = 1704067200
SOURCES = pathlib.Path(__file__).resolve().parent / "programs"


@functools.lru_cache(maxsize=64)
def compressed(layer):
    return gzip.compress(layer, 1, mtime=0)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Tree:
    """The entries of one layer, in order."""

    def __init__(self):
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)

    def _add(self, name, kind, mode, data=b"", link="", uid=0, gid=0):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
        info.uid, info.gid, info.mtime = uid, gid, EPOCH
        self._tar.addfile(info, io.BytesIO(data))
        return self

    def file(self, name, data, mode=0o644, uid=0, gid=0):
        return self._add(name, tarfile.REGTYPE, mode, data.encode() if isinstance(data, str) else data, uid=uid, gid=gid)

    def directory(self, name, mode=0o755, uid=0, gid=0):
        return self._add(name, tarfile.DIRTYPE, mode, uid=uid, gid=gid)

    def symlink(self, name, target):
        return self._add(name, tarfile.SYMTYPE, 0o777, link=target)

    def hardlink(self, name, target, mode=0o755, uid=0, gid=0):
        return self._add(name, tarfile.LNKTYPE, mode, link=target, uid=uid, gid=gid)

    def whiteout(self, name):
        directory, _, leaf = name.rpartition("/")
        return self.file(f"{directory}/.wh.{leaf}" if directory else f".wh.{leaf}", b"")

    def opaque(self, directory):
        return self.file(f"{directory}/.wh..wh..opq", b"")

    def bytes(self):
        self._tar.close()
        return self._buffer.getvalue()


class Image:
    """Layers (tar bytes) and what the config says; blobs() and manifest are ready to be stored anywhere."""

    def __init__(self, layers, config=None, architecture=ARCH, gzipped=True, diff_ids=None):
        self.blobs = {}
        descriptors = []
        for layer in layers:
            blob = compressed(layer) if gzipped else layer
            descriptors.append(self._store(blob, LAYER + ("+gzip" if gzipped else "")))
        self.diff_ids = diff_ids or [digest(layer) for layer in layers]
        self.config = json.dumps({"created": "2024-01-01T00:00:00Z", "architecture": architecture, "os": "linux",
                                  "config": config or {}, "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
                                  "history": [{"created": "2024-01-01T00:00:00Z"}] * len(layers)}, sort_keys=True).encode()
        self.manifest_value = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self._store(self.config, CONFIG),
                               "layers": descriptors}
        self.architecture = architecture

    def _store(self, blob, media_type):
        self.blobs[digest(blob)] = blob
        return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}

    @property
    def manifest(self):
        return json.dumps(self.manifest_value, sort_keys=True).encode()

    @property
    def id(self):
        return digest(self.config)

    @property
    def digest(self):
        return digest(self.manifest)

    @property
    def layer_digests(self):
        return [layer["digest"] for layer in self.manifest_value["layers"]]

    def write_layout(self, directory, tag=None):
        directory = pathlib.Path(directory)
        (directory / "blobs" / "sha256").mkdir(parents=True)
        for name, blob in {**self.blobs, self.digest: self.manifest}.items():
            (directory / "blobs" / "sha256" / name.removeprefix("sha256:")).write_bytes(blob)
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        descriptor = {"mediaType": MANIFEST, "digest": self.digest, "size": len(self.manifest)}
        if tag:
            descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
        (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
        return directory


def index_of(images):
    """An image index: (bytes, digest) for several architectures."""
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": image.digest, "size": len(image.manifest),
         "platform": {"os": "linux", "architecture": image.architecture}} for image in images]}, sort_keys=True).encode()
    return data


class Push:
    """One connection to a plain-HTTP registry."""

    def __init__(self, host):
        self._http = http.client.HTTPConnection(host, timeout=20)
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._known = set()

    def _ask(self, method, path, body=None, headers=None, expect=(200, 201, 202)):
        self._http.request(method, path, body, headers or {})
        answer = self._http.getresponse()
        text = answer.read()
        if expect and answer.status not in expect:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
        return answer

    def blob(self, repository, data):
        """Stores it, unless the repository has it."""
        name = digest(data)
        if (repository, name) in self._known:
            return
        self._known.add((repository, name))
        if self._ask("HEAD", f"/v2/{repository}/blobs/{name}", expect=None).status == 200:
            return
        place = self._ask("POST", f"/v2/{repository}/blobs/uploads/").getheader("Location")
        path = "/" + place.split("/", 3)[3] if place.startswith("http") else place
        self._ask("PUT", f"{path}{'&' if '?' in path else '?'}digest={name}", data,
                  {"Content-Type": "application/octet-stream"})

    def manifest(self, repository, tag, data, media_type=MANIFEST):
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", data, {"Content-Type": media_type})

    def image(self, repository, tag, image):
        for blob in image.blobs.values():
            self.blob(repository, blob)
        self.manifest(repository, tag, image.manifest)


# ------------------------------------------------------------------ what the images hold
PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
alice:x:1000:1001:Alice:/home/alice:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
"""
GROUP = """root:x:0:
daemon:x:1:
www-data:x:33:
users:x:100:
staff:x:1001:
extra:x:50000:alice
nogroup:x:65534:
"""
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def busybox_tree(passwd=PASSWD, group=GROUP):
    """Debian's busybox-static as a root file system: applets as hard links, /bin/sh with no `ls` of its own."""
    binary = pathlib.Path("/bin/busybox").read_bytes()
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    tree = Tree()
    for name in ("bin", "sbin", "etc", "home", "home/alice", "usr", "usr/bin", "usr/sbin", "usr/local", "usr/local/bin",
                 "var", "var/run", "var/www", "var/log", "dev", "proc", "sys", "mnt", "run", "lib"):
        tree.directory(name)
    tree.directory("tmp", 0o1777).directory("root", 0o700)
    tree.file("bin/busybox", binary, 0o755)
    # The shell prefers its built-in applets: without this change a masked /bin/ls would still answer.
    shell = binary.replace(b"\0losetup\0ls\0lsmod\0", b"\0losetup\0lr\0lsmod\0")
    tree.file("bin/sh", shell, 0o755).hardlink("bin/ash", "bin/sh")
    for applet in applets:
        if applet not in ("busybox", "sh", "ash", "ipcs", "pgrep"):
            tree.hardlink(f"bin/{applet}", "bin/busybox")
    tree.file("bin/ipcs", "#!/bin/sh\nexec cat /proc/sysvipc/shm\n", 0o755)
    tree.file("bin/pgrep", '#!/bin/sh\npidof "$@"\n', 0o755)
    tree.file("etc/passwd", passwd).file("etc/group", group)
    return tree


def stand_in():
    """The compiled stand-in programs (static)."""
    with tempfile.TemporaryDirectory() as directory:
        target = pathlib.Path(directory) / "stand_in"
        subprocess.run(["gcc", "-Os", "-static", "-s", "-o", target, SOURCES / "stand_in.c"], check=True)
        return target.read_bytes()
