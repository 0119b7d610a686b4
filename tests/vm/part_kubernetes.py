# SPDX-License-Identifier: Apache-2.0
"""Inside the virtual machine, before and after a kubelet runs there: network, the kernel's settings, images; afterwards everything
must be as it was.   inside.py kubernetes before HOST ADDRESS | after"""
import json
import pathlib
import shutil

import guest
from inside import changes_by_itself
from support import registry
from support.snapshot import Snapshot

FACTS = guest.WORK / "before-kubernetes.json"
MADE = ["/var/lib/kubelet", "/var/log/pods", "/var/log/containers", guest.WORK / "kubernetes", guest.WORK / "kubelet.log",
        "/run/systemd/system/kubelet.service"]
# What a kubelet with protectKernelDefaults wants to find.
SYSCTLS = {"vm.overcommit_memory": "1", "vm.panic_on_oom": "0", "kernel.panic": "10", "kernel.panic_on_oops": "1",
           "kernel.keys.root_maxkeys": "1000000", "kernel.keys.root_maxbytes": "25000000", "net.ipv4.ip_forward": "1",
           "net.ipv4.conf.all.route_localnet": "1"}


def set_all(values):
    guest.run("sysctl", "-q", "-w", *[f"{name}={value}" for name, value in values.items()])


def tags(node):
    """Every image's names, with its id."""
    images = json.loads(node.crictl("images", "-o", "json").out)["images"]
    return [[tag, image["id"]] for image in images for tag in image["repoTags"]]


def snapshot(node):
    return Snapshot([node.state, "/run/netns", "/var/lib/cni", node.root / "containers"])


def before(host, address):
    node = guest.UnitNode()
    guest.run("modprobe", "virtio_net")
    clean = snapshot(node)
    old = {name: guest.run("sysctl", "-n", name) for name in SYSCTLS}
    FACTS.write_text(json.dumps({"values": {kind: sorted(values) for kind, values in clean.values.items()}, "tags": tags(node),
                                 "sysctls": old}))
    set_all(SYSCTLS)
    for command in (f"addr add {address}/24 dev eth0", "link set eth0 up", f"route add default via {host}"):
        guest.run("ip", *command.split())
    registry.write_hosts(node.certs, guest.REGISTRY, f"http://{host}:5000")
    return 0


def after():
    node, facts = guest.UnitNode(), json.loads(FACTS.read_text())
    guest.run("systemctl", "stop", "kubepods.slice")  # the kubelet's, not Berth's
    for tag, image in tags(node):
        if [tag, image] not in facts["tags"]:
            node.crictl("rmi", tag)
    shutil.rmtree(node.certs / guest.REGISTRY)
    guest.run("ip", "addr", "flush", "dev", "eth0")
    guest.run("ip", "link", "set", "eth0", "down")
    set_all(facts["sysctls"])
    for path in map(pathlib.Path, MADE):
        guest.run("rm", "-rf", "--one-file-system", str(path))
    guest.run("systemctl", "daemon-reload")
    FACTS.unlink()
    clean = snapshot(node)
    clean.values = {kind: set(values) for kind, values in facts["values"].items()}
    clean.assert_nothing_added(changes_by_itself, seconds=60)
    return 0


def main(when, *arguments):
    return before(*arguments) if when == "before" else after()
