# SPDX-License-Identifier: Apache-2.0
"""CDI devices: by the field and by annotations, from JSON and YAML files."""
import contextlib
import json
import os
import pathlib

from support.suite import contains, equal, test
from test_errors import refused_container

DEVICE = "acme.com/thing=one"


def spec(name="one", version="0.7.0", **edits):
    return {"cdiVersion": version, "kind": "acme.com/thing", "containerEdits": {"env": ["ACME_ALL=yes"]},
            "devices": [{"name": name, "containerEdits": edits}]}


@contextlib.contextmanager
def files(node, **contents):
    """Files below the first directory of cdi_spec_dirs; a name that begins with high_ goes into the second."""
    written = []
    for name, content in contents.items():
        directory = node.cdi / ("high" if name.startswith("high_") else "low")
        path = directory / name.replace("__", ".")
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        written.append(path)
    try:
        yield
    finally:
        for path in written:
            path.unlink()


@test
def test_cdi_device_brings_node_mount_environment_and_group(node):
    volume = node.work / "cdi-volume"
    volume.mkdir(exist_ok=True)
    (volume / "file").write_text("from the host")
    edits = {"env": ["ACME=1"], "deviceNodes": [{"path": "/dev/acme", "hostPath": "/dev/zero", "permissions": "r"}],
             "mounts": [{"hostPath": str(volume), "containerPath": "/acme", "options": ["ro", "nosuid"]}], "additionalGids": [4711]}
    with files(node, acme__json=spec(**edits)), node.pod() as pod:
        for number, fields in enumerate(({"CDI_devices": [{"name": DEVICE}]}, {"annotations": {"cdi.k8s.io/acme": DEVICE}})):
            container = pod.run(name=f"c{number}", **fields)
            equal(container.sh("stat -c '%t %T' /dev/acme").strip(), "1 5", "device")
            equal(container.sh("head -c 3 /dev/acme | wc -c").strip(), "3", "read of the device")
            equal(container.sh("cat /acme/file").strip(), "from the host", "mount")
            assert container.exec("touch", "/acme/new", check=False).code != 0, "the mount is writable"
            contains(container.sh("env; id -G"), "ACME=1", "ACME_ALL=yes", "4711")
    (volume / "file").unlink()
    volume.rmdir()


@test
def test_cdi_device_node_belongs_to_the_containers_user(node):
    edits = {"deviceNodes": [{"path": "/dev/acme", "hostPath": "/dev/null"}]}
    with files(node, acme__json=spec(**edits)), node.pod() as pod:
        container = pod.run(CDI_devices=[{"name": DEVICE}], security={"run_as_user": {"value": 1000}})
        equal(container.sh("stat -c %u /dev/acme").strip(), "1000", "owner")


@test
def test_cdi_hook_runs(node):
    marker = node.work / "hook-ran"
    hook = node.work / "hook.sh"
    hook.write_text(f"#!/bin/sh\ncat > {marker}\n")
    hook.chmod(0o755)
    text = ("cdiVersion: 0.6.0\nkind: acme.com/thing\ndevices:\n- name: one\n  containerEdits:\n    hooks:\n"
            f"    - hookName: prestart\n      path: {hook}\n      args: [hook.sh]\n")
    with files(node, acme__yaml=text), node.pod() as pod:
        container = pod.run(CDI_devices=[{"name": DEVICE}])
        equal(json.loads(marker.read_text())["id"], container.id, "state that the hook was given")
    marker.unlink()
    hook.unlink()


@test
def test_cdi_device_of_a_later_directory_wins(node):
    with files(node, a__json=spec(env=["ACME=low"]), high_a__json=spec(env=["ACME=high"])), node.pod() as pod:
        equal(pod.run(CDI_devices=[{"name": DEVICE}]).sh("echo $ACME").strip(), "high", "value")


@test
def test_cdi_devices_that_cannot_be_had_are_refused(node):
    wanted = {"CDI_devices": [{"name": DEVICE}]}
    refused_container(node, "InvalidArgument", [DEVICE, "no such device"], **wanted)
    refused_container(node, "InvalidArgument", "not vendor/class=name", CDI_devices=[{"name": "../x"}])
    with files(node, a__json=spec(env=["A=1"]), b__json=spec(env=["A=2"])):
        refused_container(node, "InvalidArgument", ["in both", "a.json", "b.json"], **wanted)
    with files(node, a__yaml="kind: ["):
        refused_container(node, "InvalidArgument", ["no such device", "a.yaml"], **wanted)
    with files(node, a__json=spec(deviceNodes=[{"path": "/dev/no-such-node"}])):
        refused_container(node, "NotFound", "/dev/no-such-node", **wanted)
