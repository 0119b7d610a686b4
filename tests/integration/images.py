# SPDX-License-Identifier: Apache-2.0
"""The images of the integration suite, pushed to the loopback registry; some of them damaged on purpose afterwards."""
import subprocess

from support import oci, registry

HTTP, HTTPS = "127.0.0.1:5000", "127.0.0.1:5443"


def add_busybox_layers():
    """Three layers: the system, then files, then changes to them."""
    files = (oci.Tree().directory("data").directory("data/dir").file("data/gone", "x").file("data/kept", "first\n")
             .file("data/changed", "old\n").file("data/dir/a", "a").file("data/dir/b", "b")
             .directory("data/replaced").file("data/replaced/inside", "x"))
    changes = (oci.Tree().directory("data").whiteout("data/gone").file("data/changed", "new\n", 0o600, 1000, 1001)
               .directory("data/dir", 0o700).opaque("data/dir").file("data/dir/c", "c")
               .file("data/replaced", "now a file\n").symlink("data/link", "kept").hardlink("data/hard", "data/changed", 0o600, 1000, 1001))
    return [oci.busybox_tree().bytes(), files.bytes(), changes.bytes()]


class Images:
    """What was pushed, by short name; ids are known before anything is pulled."""

    def __init__(self, work):
        self.registry = registry.Registry(work, work / "store" / "registry", 5000)
        push = self.push = oci.Push(HTTP)
        environment = [oci.PATH, "GREETING=hello"]
        layers = add_busybox_layers()
        self.busybox = oci.Image(layers, {"Env": environment, "Cmd": ["sh"], "WorkingDir": "/data", "Labels": {"a": "b"}})
        push.image("test/busybox", "1", self.busybox)
        push.image("test/busybox", "same", self.busybox)

        def small(name, config, *more, **options):
            image = oci.Image([*layers[:1], *more], {"Env": environment, **config}, **options)
            push.image(f"test/{name}", "1", image)
            return image

        def one_file(name, data=None):
            return oci.Tree().file(name, data or f"{name}\n").bytes()

        programs = oci.Tree().file("bin/nginx", oci.stand_in(), 0o755).hardlink("bin/hold", "bin/nginx").hardlink("bin/udp-echo", "bin/nginx")
        self.web = small("web", {"Cmd": ["nginx"], "ExposedPorts": {"80/tcp": {}}},
                         programs.file("bin/nnp", oci.stand_in(), 0o4755).bytes())
        self.command = small("command", {"Entrypoint": ["echo", "entry"], "Cmd": ["point"], "StopSignal": "SIGUSR1"},
                             one_file("command"))
        self.by_name = small("user-name", {"User": "alice", "Cmd": ["id"]}, one_file("user-name"))
        self.by_ids = small("user-ids", {"User": "1003:1004", "Cmd": ["id"]}, one_file("user-ids"))
        groups = (oci.Tree().directory("etc").file("etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n")
                  .file("etc/group", "root:x:0:\nalice:x:1000:\nextra:x:5000:alice\n"))
        self.groups = small("groups", {"Cmd": ["sh"]}, groups.bytes())
        self.plain = small("plain", {"Cmd": ["sh"]}, one_file("plain"), gzipped=False)
        self.other = small("other-architecture", {"Cmd": ["sh"]}, one_file("other"), architecture="s390x")
        self.ours = small("ours", {"Cmd": ["sh"]}, one_file("ours"))
        for image in (self.ours, self.other):
            for blob in image.blobs.values():
                push.blob("test/index", blob)
            push.manifest("test/index", image.digest, image.manifest)
        self.index = oci.index_of([self.other, self.ours])
        push.manifest("test/index", "1", self.index, oci.INDEX)
        self._convert(work)
        self._damage(small, one_file)

    def _convert(self, work):
        """What other people's tools make of the same image."""
        self.converted = oci.Image(add_busybox_layers(), {"Cmd": ["sh"], "Labels": {"converted": "yes"}})
        layout = self.converted.write_layout(work / "store" / "layout", "1")
        source = f"oci:{layout}:1"

        def skopeo(*arguments):
            subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", *arguments],
                           check=True, capture_output=True)

        skopeo("--format", "v2s2", source, f"docker://{HTTP}/test/schema2:1")
        # Plain layers that no registry has yet, so that skopeo really compresses them.
        tree = oci.busybox_tree().file("zstd", "compressed with zstd\n").bytes()
        plain = oci.Image([tree, *add_busybox_layers()[1:]], {"Cmd": ["sh"]}, gzipped=False)
        plain = plain.write_layout(work / "store" / "plain", "1")
        skopeo("--dest-compress", "--dest-compress-format", "zstd", f"oci:{plain}:1", f"docker://{HTTP}/test/zstd:1")
        self.layout = layout
        self.oci_archive = work / "store" / "image.oci.tar"
        skopeo(source, f"oci-archive:{self.oci_archive}:archived")
        self.docker_archive = work / "store" / "image.docker.tar"
        skopeo(source, f"docker-archive:{self.docker_archive}:example.test/saved:1")
        for path in (self.oci_archive, self.docker_archive):
            path.chmod(0o644)

    def _damage(self, small, one_file):
        """Images whose registry lies: the bytes on its disk are changed behind its back."""
        wrong = small("wrong-diff-id", {}, one_file("d"), diff_ids=["sha256:" + "0" * 64, "sha256:" + "1" * 64])
        del wrong
        corrupt = small("corrupt-layer", {}, one_file("corrupt", "corrupt" * 5000))
        path = self.registry.blob_path(corrupt.layer_digests[1])
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        short = small("short-layer", {}, one_file("short", "short" * 5000))
        path = self.registry.blob_path(short.layer_digests[1])
        path.write_bytes(path.read_bytes()[:-20])
        other = small("wrong-manifest", {}, one_file("m"))
        path = self.registry.blob_path(other.digest)
        path.write_bytes(path.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion":  2'))
        self.wrong_manifest_digest = other.digest
        config = small("wrong-config", {}, one_file("c"))
        path = self.registry.blob_path(config.id)
        path.write_bytes(path.read_bytes().replace(b"2024", b"2025"))
        bad = small("not-a-tar", {})
        garbage = oci.Image([b"this is no archive" * 200], {})
        self.push.image("test/not-a-tar", "1", garbage)
        del bad

    def start_https(self, work):
        self.authority, certificate = registry.make_certificates(work / "certificates")
        self.certificate = certificate
        self.secure = registry.Registry(work, self.registry.storage, 5443, certificate)

    def close(self):
        self.registry.close()
        self.secure.close()
