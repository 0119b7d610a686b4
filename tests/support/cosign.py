# SPDX-License-Identifier: Apache-2.0
"""Signatures of images as `cosign sign --key` makes them: "simple signing" documents, ECDSA on P-256 over SHA-256, pushed under
sha256-<digest>.sig. https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md"""
import base64
import json
import subprocess

from . import oci

TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"


class Key:
    """A key pair; `public` is the file that a policy names."""

    def __init__(self, directory, name):
        self._private, self.public = directory / f"{name}.key", directory / f"{name}.pub"
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self._private)
        self._openssl("ec", "-in", self._private, "-pubout", "-out", self.public)

    @staticmethod
    def _openssl(*arguments, data=None):
        return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, capture_output=True).stdout

    def sign(self, data):
        return base64.b64encode(self._openssl("dgst", "-sha256", "-sign", self._private, data=data)).decode()


def payload(digest, name):
    """What is signed: that the manifest of this digest is the image of this name."""
    critical = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature"}
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


class Signatures:
    """The image that holds signatures: [(payload, signature in base64), ...]."""

    def __init__(self, signed):
        config = json.dumps({"architecture": "", "created": "0001-01-01T00:00:00Z", "os": "", "config": {}, "rootfs": {
            "type": "layers", "diff_ids": [oci.digest(data) for data, _ in signed]}}).encode()
        self.blobs = {oci.digest(data): data for data in (config, *(data for data, _ in signed))}
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": oci.MANIFEST,
            "config": {"mediaType": oci.CONFIG, "size": len(config), "digest": oci.digest(config)},
            "layers": [{"mediaType": TYPE, "size": len(data), "digest": oci.digest(data), "annotations": {ANNOTATION: signature}}
                       for data, signature in signed]}).encode()

    def push(self, push, repository, image_digest):
        for blob in self.blobs.values():
            push.blob(repository, blob)
        push.manifest(repository, tag(image_digest), self.manifest)


def sign(key, digest, name):
    """One signature by one key."""
    data = payload(digest, name)
    return Signatures([(data, key.sign(data))])


def tag(digest):
    return digest.replace(":", "-") + ".sig"
