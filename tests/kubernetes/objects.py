# SPDX-License-Identifier: Apache-2.0
"""Images that the pods of this suite run, and short ways to write pods down."""
from support import oci

REGISTRY = "127.0.0.1:5000"
BUSYBOX, WEB = f"{REGISTRY}/test/busybox:1", f"{REGISTRY}/test/web"
FOREVER = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"


def push_images(host):
    push = oci.Push(host)
    base = oci.busybox_tree().bytes()
    environment = {"Env": [oci.PATH], "Cmd": ["sh"]}
    push.image("test/busybox", "1", oci.Image([base], environment))
    push.image("test/user", "1", oci.Image([base], {**environment, "User": "alice"}))
    for version in "12":
        page = oci.Tree().directory("www").file("www/index.html", f"version {version}\n").bytes()
        push.image("test/web", version, oci.Image([base, page], {"Env": [oci.PATH], "Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"]}))
    for number in range(4):
        blob = oci.Tree().file("blob", bytes([number]) * 1000).bytes()
        push.image("test/private" if number == 0 else f"test/unused-{number}", "1", oci.Image([base, blob], environment))


def container(script=FOREVER, name="main", image=BUSYBOX, **fields):
    command = {} if script is None else {"command": ["sh", "-c", script]}
    return {"name": name, "image": image, **command, **fields}


def pod(name, *containers, labels=None, annotations=None, **spec):
    """A pod whose containers are ended at once, and that mounts no token unless `spec` says so."""
    metadata = {"name": name, "labels": {"app": name, **(labels or {})}, "annotations": annotations or {}}
    containers = [container(c) if isinstance(c, str) else c for c in containers or [container()]]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"terminationGracePeriodSeconds": 2, "automountServiceAccountToken": False, "containers": containers, **spec}}


def deployment(name, image, replicas=2, **fields):
    template = pod(name, container(None, image=image, **fields))
    template["metadata"].pop("name")
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {key: template[key] for key in ("metadata", "spec")}}}


def status_of(status, name, kind="containerStatuses"):
    found = [one for one in status.get(kind, []) if one["name"] == name]
    if not found:
        raise AssertionError(f"no status of {name} yet: {status}")
    return found[0]
