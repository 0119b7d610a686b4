# SPDX-License-Identifier: Apache-2.0
"""The signature policy from end to end: real keys and signatures in cosign's form, a pull and a container let in or refused."""
import contextlib
import os
import pathlib
import re

from support import cosign, oci
from support.scripted_registry import ScriptedRegistry
from support.suite import contains, equal, test
from test_faulty_registries import always, fails_and_leaves_nothing, stored, works

HTTP = "127.0.0.1:5000"
WORD = "desc = SignatureValidationFailed: "  # the kubelet looks for it at the beginning


class Policy:
    """The policy's file, and keys; `node` runs with it."""

    def __init__(self, node):
        self.directory = node.work / "signatures"
        self.directory.mkdir(exist_ok=True)
        self.path = self.directory / "policy.toml"
        self.ours, self.other = cosign.Key(self.directory, "ours"), cosign.Key(self.directory, "other")
        self.write()

    def write(self, text='default = "accept"\n', **rules):
        """rules: repository -> "reject" or a key."""
        for name, rule in rules.items():
            key = f'policy = "key"\nkey = "{rule.public}"' if isinstance(rule, cosign.Key) else f'policy = "{rule}"'
            text += f'[repository."{name}"]\n{key}\n'
        self.path.write_text(text)


@contextlib.contextmanager
def with_policy(node):
    policy = Policy(node)
    with node.configured({"image": {"signature_policy": str(policy.path)}}):
        yield policy


def container_of(node, pod, reference, name):
    """Its id, or the refusal as crictl prints it."""
    config = node.file(node.container_config(["sleep", "1000"], name=name, image=reference))
    return node.crictl("create", pod.id, config, pod.path, check=False)


@test
def test_a_registry_in_another_spelling_is_the_same_registry(node):
    with with_policy(node) as policy:
        policy.write(**{"policy.berth.test/team": "reject", "docker.io": "reject"})
        for name in ("policy.berth.test/team/app", "Policy.berth.test/team/app", "POLICY.BERTH.TEST:443/team/app", "team/app",
                     "index.docker.io/team/app", "registry-1.docker.io/team/app", "Registry-1.docker.io:443/app"):
            node.refused("pull", f"{name}:1", code="FailedPrecondition", parts=[WORD, "the signature policy rejects it"])
        for text in ("x =", None):
            policy.path.write_text(text) if text else policy.path.unlink()
            node.refused("pull", f"{HTTP}/test/app:1", code="FailedPrecondition", parts=[WORD + "pull: signature policy: ", "policy.toml"])


@test(seconds=90)
def test_a_signed_image_is_pulled_and_runs_until_its_policy_no_longer_lets_it_in(node):
    repository = f"{HTTP}/test/signed"
    image = oci.Image([oci.busybox_tree().bytes()], {"Cmd": ["sh"]})
    push = oci.Push(HTTP)
    push.image("test/signed", "1", image)
    reference = f"{repository}:1"
    with with_policy(node) as policy:
        policy.write(**{repository: policy.ours})
        before = stored(node)
        node.refused("pull", reference, code="FailedPrecondition", parts=[WORD, "the image has no signature"])
        cosign.sign(policy.other, image.digest, repository).push(push, "test/signed", image.digest)
        node.refused("pull", reference, code="FailedPrecondition", parts=[WORD, "not by this key"])
        equal(stored(node), before, "layers after refused pulls")
        cosign.sign(policy.ours, image.digest, repository).push(push, "test/signed", image.digest)
        node.crictl("pull", reference)
        try:
            with node.pod() as pod:
                first = pod.run(image=image.id, name="first")
                for rule, why in ((policy.other, "no name of it is let in"), ("reject", "no name of it is let in")):
                    policy.write(**{repository: rule})
                    refused = container_of(node, pod, image.id, "second")
                    assert refused.code != 0, "a container of an image that the policy does not let in"
                    contains(refused.text, "code = FailedPrecondition", WORD, why)
                    equal(first.state(), "RUNNING", "the container from before")
                node.refused("pull", reference, code="FailedPrecondition", parts=[WORD, "the signature policy rejects it"])
                policy.write(**{repository: policy.ours})
                node.restart()  # which key it was is remembered
                pod.run(image=reference, name="second")
        finally:
            policy.write()
            node.crictl("rmi", reference)


@test
def test_an_image_from_before_the_policy_makes_no_container_and_other_repositories_are_not_touched(node):
    with with_policy(node) as policy:
        node.crictl("pull", f"{HTTP}/test/plain:1")
        try:
            policy.write('default = "reject"\n', **{f"{HTTP}/test/busybox": "accept"})
            with node.pod() as pod:
                refused = container_of(node, pod, f"{HTTP}/test/plain:1", "refused")
                assert refused.code != 0, "a container of a rejected image"
                contains(refused.text, "code = FailedPrecondition", WORD)
                pod.run(name="accepted")
                policy.path.write_text("default = 7\n")
                refused = container_of(node, pod, f"{HTTP}/test/plain:1", "refused")
                assert refused.code != 0, "a container under a policy that cannot be read"
                contains(refused.text, "code = FailedPrecondition", str(policy.path))
                node.refused("pull", f"{HTTP}/test/plain:1", code="FailedPrecondition", parts=str(policy.path))
        finally:
            policy.write()
            node.crictl("rmi", f"{HTTP}/test/plain:1")


def serving(signatures, change=None, image_digest=None):
    """The fault that is none: the repository has these signatures; `change` is what the registry makes of a blob's bytes."""
    def fault(handler, kind, body, _):
        name = handler.path.rpartition("/")[2].partition("?")[0]
        if kind == "manifest" and name.endswith(".sig"):
            if name != cosign.tag(image_digest):
                return False
            handler.send(200, signatures if isinstance(signatures, bytes) else signatures.manifest, {"Content-Type": oci.MANIFEST})
            return True
        if body is None and not isinstance(signatures, bytes) and name in signatures.blobs:
            data = signatures.blobs[name]
            handler.send(200, change(data) if change else data)
            return True
        return False
    return fault


def instead_of_signatures(status):
    def fault(handler, *_):
        return ".sig" in handler.path and always(status)(handler)
    return fault


@test(seconds=120)
def test_every_other_signature_is_refused_before_a_layer_is_asked_for(node):
    image = oci.Image([oci.Tree().file("f", "signed\n").bytes()], {"Cmd": ["x"]})
    registry = ScriptedRegistry(image, {})
    with with_policy(node) as policy:
        ours, other = policy.ours, policy.other
        try:
            def signed(repository, **fields):
                data = cosign.payload(fields.get("digest", image.digest), fields.get("name", f"{registry.host}/{repository}"))
                return data, fields.get("key", ours).sign(fields.get("what", data))

            large = cosign.payload(image.digest, "") + b" " * (65 << 10)
            cases = {"wrong-key": ([signed("wrong-key", key=other)], None, "not by this key"),
                     "other-payload": ([signed("other-payload", what=b"something else")], None, "not by this key"),
                     "tampered": ([signed("tampered")], lambda data: data.replace(b"tampered", b"tempered"), "wrong content"),
                     "other-image": ([signed("other-image", digest=oci.digest(b"x"))], None, "about another image"),
                     "other-name": ([signed("other-name", name="127.0.0.1:5000/test/elsewhere")], None, "is about"),
                     "no-base64": ([(cosign.payload(image.digest, ""), "%%%%")], None, "not base64"),
                     "large": ([(large, ours.sign(large))], None, "too large"),
                     "none": ([], None, "has no signature")}
            for repository, (entries, change, text) in cases.items():
                registry.faults[repository] = serving(cosign.Signatures(entries), change, image.digest)
                policy.write(**{f"{registry.host}/{repository}": ours})
                fails_and_leaves_nothing(node, registry, repository, "FailedPrecondition", WORD, text)
            answers = {"no-json": (serving(b"<html>", None, image.digest), "signature manifest"),
                       "missing": (instead_of_signatures(404), "has no signature"),
                       "forbidden": (instead_of_signatures(403), "HTTP status 403")}
            for repository, (fault, text) in answers.items():
                registry.faults[repository] = fault
                policy.write(**{f"{registry.host}/{repository}": ours})
                fails_and_leaves_nothing(node, registry, repository, "FailedPrecondition", WORD, text)
            # A registry that cannot answer just now is another trouble, and the kubelet is told so.
            registry.faults["away"] = instead_of_signatures(503)
            policy.write(**{f"{registry.host}/away": ours})
            fails_and_leaves_nothing(node, registry, "away", "Unavailable", "desc = RegistryUnavailable: ")
            policy.write(**{f"{registry.host}/rejected": "reject"})
            fails_and_leaves_nothing(node, registry, "rejected", "FailedPrecondition", WORD, "rejects it")
            equal(registry.count("rejected"), 0, "requests for a rejected image")
            layer = image.layer_digests[0]
            equal([path for _, path, _, _ in registry.seen if layer in path], [], "requests for a layer of an image not let in")

            registry.faults["good"] = serving(cosign.Signatures([signed("good", key=other), signed("good")]), None, image.digest)
            policy.write(**{f"{registry.host}/good": ours})
            works(node, registry, "good")
        finally:
            registry.close()


def peer_of(port):
    """/proc/<pid>/status of the process whose TCP socket has this local port, as a dictionary."""
    inode = next(fields[9] for fields in (line.split() for line in open("/proc/net/tcp"))
                 if fields[1].endswith(f":{port:04X}") and fields[9] != "0")
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            links = [os.readlink(fd) for fd in (entry / "fd").iterdir()]
        except OSError:
            continue
        if f"socket:[{inode}]" in links:
            return dict(re.findall(r"^(\w+):\t(.*)$", (entry / "status").read_text(), re.M))
    raise AssertionError(f"nobody has the socket with port {port}")


@test
def test_signatures_are_fetched_and_checked_by_a_process_without_privileges(node):
    image = oci.Image([oci.Tree().file("f", "checked\n").bytes()], {"Cmd": ["x"]})
    peers = []

    def watched(handler, kind, body, media_type):
        if ".sig" in handler.path or body is None:
            peers.append(peer_of(handler.client_address[1]))
        return answer(handler, kind, body, media_type)

    registry = ScriptedRegistry(image, {"watched": watched})
    with with_policy(node) as policy:
        try:
            name = f"{registry.host}/watched"
            answer = serving(cosign.sign(policy.ours, image.digest, name), None, image.digest)
            policy.write(**{name: policy.ours})
            works(node, registry, "watched")
        finally:
            registry.close()
    assert len(peers) >= 2, "manifest and payload of the signature"
    for status in peers:
        equal(status["Name"], "berth-fetch", "who asks")
        equal(set(status["Uid"].split()), {"65534"}, "its user ids")
        equal({status[key] for key in ("CapEff", "CapPrm", "CapBnd", "CapAmb")}, {"0" * 16}, "its capabilities")
        equal(status["Seccomp"], "2", "its seccomp mode")
