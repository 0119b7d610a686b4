# SPDX-License-Identifier: Apache-2.0
"""Pull policies, pull secrets, garbage collection of images."""
import base64
import contextlib
import crypt
import json

from objects import BUSYBOX, REGISTRY, container, pod, status_of
from support import registry
from support.suite import contains, equal, eventually, test

PRIVATE = "127.0.0.1:5444"


@contextlib.contextmanager
def private_registry(cluster):
    """The suite's images once more, for who has the password."""
    password = crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
    passwords = cluster.work / "htpasswd"
    passwords.write_text(f"user:{password}\n")
    server = registry.Registry(cluster.work, cluster.images.storage, 5444, None,
                               f"auth:\n  htpasswd:\n    realm: test\n    path: {passwords}\n")
    registry.write_hosts(cluster.node.certs, PRIVATE, f"http://{PRIVATE}")
    try:
        yield f"{PRIVATE}/test/private:1"
    finally:
        server.close()


def pull_secret(name, user, password):
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    config = json.dumps({"auths": {PRIVATE: {"auth": auth}}})
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()}}


def waits_for(cluster, name, *reasons):
    def now():
        reason = status_of(cluster.pod_status(name), "main")["state"].get("waiting", {}).get("reason")
        return reason in reasons
    eventually(now, 60, 0.3)


@test(seconds=120)
def test_pull_policies(cluster):
    image = f"{REGISTRY}/test/unused-2:1"
    cluster.node.crictl("rmi", image, check=False)
    policy = lambda name, value, reference: pod(name, container(image=reference, imagePullPolicy=value))
    cluster.apply(policy("never", "Never", image))
    waits_for(cluster, "never", "ErrImageNeverPull")
    cluster.apply(policy("if-missing", "IfNotPresent", image))
    cluster.wait_pod("if-missing")
    contains(str(cluster.events("if-missing")), "Successfully pulled image")
    cluster.apply(policy("if-there", "IfNotPresent", image), policy("always", "Always", image))
    for name, said in (("if-there", "already present on machine"), ("always", "Successfully pulled image")):
        cluster.wait_pod(name)
        contains(str(cluster.events(name)), said)
    cluster.wait_pod("never")
    cluster.apply(policy("missing", "IfNotPresent", f"{REGISTRY}/test/no-such-image:1"),
                  policy("malformed", "IfNotPresent", "Not//An::Image"))
    waits_for(cluster, "missing", "ImagePullBackOff")
    waits_for(cluster, "malformed", "InvalidImageName")
    contains(str(cluster.events("missing")), "code = NotFound", "manifest unknown")
    cluster.expect("no-such-image")
    cluster.expect("ErrImageNeverPull")
    cluster.expect("Not//An::Image")


@test(seconds=180)
def test_pull_secrets(cluster):
    with private_registry(cluster) as image:
        cluster.apply(pull_secret("good", "user", "secret"), pull_secret("bad", "user", "wrong"))
        asks = lambda name, *secrets: pod(name, container(image=image), imagePullSecrets=[{"name": secret} for secret in secrets])
        cluster.apply(asks("without"), asks("wrong", "bad"))
        for name in ("without", "wrong"):
            waits_for(cluster, name, "ImagePullBackOff", "ErrImagePull")
            contains(str(cluster.events(name)), "401")
        cluster.apply(asks("with", "bad", "good"))
        cluster.wait_pod("with")
        cluster.apply(asks("later"))  # the image is there now, but not for everybody
        waits_for(cluster, "later", "ImagePullBackOff", "ErrImagePull")
    equal(status_of(cluster.pod_status("with"), "main")["restartCount"], 0, "restarts")
    cluster.expect("test/private")


@test(seconds=480)
def test_unused_images_are_collected(cluster):
    """The kubelet's first collection fails, for cAdvisor has not looked at the disk yet; the next one is five minutes later."""
    unused, pinned = f"{REGISTRY}/test/unused-1:1", f"{REGISTRY}/test/unused-3:1"
    for image in (unused, pinned):
        cluster.node.crictl("pull", image)
    cluster.apply(pod("uses", container(image=BUSYBOX)))
    cluster.wait_pod("uses")
    present = lambda image: cluster.node.crictl("inspecti", image, check=False).code == 0
    cluster.stop_kubelet()
    cluster.start_kubelet(imageGCHighThresholdPercent=1, imageGCLowThresholdPercent=0, imageMinimumGCAge="0s")
    try:
        eventually(lambda: not present(unused), 340, 2)
        equal((present(BUSYBOX), present(pinned)), (True, True), "the image of a running container, a pinned one")
        equal(cluster.out("exec", "uses", "--", "echo", "lives"), "lives\n", "the pod whose layers the other shared")
    finally:
        cluster.stop_kubelet()
        cluster.start_kubelet(imageGCHighThresholdPercent=85, imageGCLowThresholdPercent=80)
        cluster.wait_node_ready()
    cluster.expect("garbage collect required amount of images|Image garbage collection failed")
