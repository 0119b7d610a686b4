# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry on loopback, plain or with a certificate of our own authority, and the certs.d that leads there."""
import pathlib
import socket
import subprocess
import time


def free_port_open(port, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


class Registry:
    """One registry process, `auth` as in its configuration file; storage can be shared by two of them, since both only read it after the images are pushed."""

    def __init__(self, work, storage, port, certificate=None, auth="", access_log=False, listen="127.0.0.1"):
        self.host = f"127.0.0.1:{port}"
        self.storage = pathlib.Path(storage)
        self.storage.mkdir(parents=True, exist_ok=True)
        config = work / f"registry-{port}.yml"
        tls = f"\n  tls:\n    certificate: {certificate[0]}\n    key: {certificate[1]}" if certificate else ""
        config.write_text(f"version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: {str(not access_log).lower()}\nstorage:\n"
                          f"  filesystem:\n    rootdirectory: {self.storage}\n  delete:\n    enabled: true\n"
                          f"http:\n  addr: {listen}:{port}{tls}\n{auth}")
        self._log = open(work / f"registry-{port}.log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=self._log, stderr=self._log,
                                        stdin=subprocess.DEVNULL)
        free_port_open(port)

    def blob_path(self, digest):
        hexes = digest.removeprefix("sha256:")
        return self.storage / "docker/registry/v2/blobs/sha256" / hexes[:2] / hexes / "data"

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self._log.close()


def make_certificates(directory):
    """An authority and a server certificate for 127.0.0.1: (authority file, (certificate, key))."""
    directory.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    ca, ca_key = directory / "ca.crt", directory / "ca.key"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=berth test authority",
            "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", ca_key, "-out", ca)
    key, request, certificate, extensions = (directory / n for n in ("server.key", "server.csr", "server.crt", "server.ext"))
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", request)
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.berth.test\n")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
            "-extfile", extensions, "-out", certificate)
    return ca, (certificate, key)


def write_hosts(certs_dir, host, server, **options):
    """certs.d/<host>/hosts.toml: `server` is where the host's images are."""
    directory = pathlib.Path(certs_dir) / host
    directory.mkdir(parents=True, exist_ok=True)
    # At the top they are about the registry itself, which is asked when the [host] cannot serve.
    lines = [f'server = "{server}"', *(f'{key} = "{value}"' for key, value in options.items())]
    lines += [f'[host."{server}"]', '  capabilities = ["pull", "resolve"]']
    lines += [f'  {key} = "{value}"' for key, value in options.items()]
    (directory / "hosts.toml").write_text("\n".join(lines) + "\n")
