#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real control plane and kubelet on Berth, driven by kubectl.   run.py [PART OF A NAME...]

What the kubelet logs as an error and blames on its runtime fails the test that was running, unless allowed_errors.txt has it."""
import pathlib
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, gvisor, registry, suite, tools
from support.snapshot import Snapshot, of_the_node_itself
from support.suite import eventually

PARTS = ["test_workloads", "test_probes", "test_streams", "test_volumes", "test_lifecycle", "test_security", "test_images",
         "test_node", "test_runtimes"]
SECONDS = 3000
# An error line, and what in it names the runtime.
ERROR = re.compile(r"^E\d{4} ")
RUNTIME = re.compile(r"rpc error|from (runtime|image) service|container runtime|\b(RunPodSandbox|StopPodSandbox|KillContainer|"
                     r"StopContainer|StartContainer|CreateContainer|ImageFs)|PLEG|remote_(runtime|image)|berth\.sock|berth-stream", re.I)


def allowed_errors():
    lines = (pathlib.Path(__file__).resolve().parent / "allowed_errors.txt").read_text().splitlines()
    return [line.split("\t", 1)[0] for line in lines if line and not line.startswith("#")]


def errors_of(cluster):
    allowed = [re.compile(pattern) for pattern in [*allowed_errors(), *cluster.expected]]
    return [line for line in cluster.kubelet_log_of_this_test().splitlines()
            if ERROR.match(line) and RUNTIME.search(line) and not any(pattern.search(line) for pattern in allowed)]


def after_each(cluster):
    cluster.sweep()
    found = errors_of(cluster)
    if found:
        raise AssertionError("the kubelet blames its runtime:\n  " + "\n  ".join(line[:900] for line in found[:10]))


def of_the_node(kind, value):
    """The kubelet's own groups of the classes of pods stay."""
    return of_the_node_itself(kind, value) or kind == "cgroup" and re.search(r"/kubepods(/besteffort|/burstable)?$", value)


def ends_clean(cluster, clean, counter, ignored=of_the_node):
    """The kubelet collects what is left of pods once a minute; then nothing of them may be there."""
    began = time.monotonic()
    try:
        eventually(lambda: not cluster.node.ids("pods"), 100, 1)
        cluster.close()
        clean.assert_nothing_added(ignored)
        counter.ok("pods leave nothing behind", time.monotonic() - began)
    except AssertionError as error:
        counter.fail("pods leave nothing behind", str(error))


def handlers():
    """gVisor beside crun and runc, or why it is not there."""
    try:
        return gvisor.handler(), None
    except suite.Skip as reason:
        return {}, reason


def main():
    from cluster import Cluster
    from objects import REGISTRY, push_images
    for part in PARTS:
        __import__(part)
    work = environment.WORK
    images = registry.Registry(work, environment.STORE / "registry", 5000)
    push_images(images.host)
    more, missing = handlers()
    cluster = Cluster(work / "cluster", {"image": {"pinned": [f"{REGISTRY}/test/unused-3*"]}, **more})
    cluster.images, cluster.without_gvisor = images, missing
    began = time.monotonic()
    cluster.node.start()
    clean = Snapshot([cluster.node.state, "/run/netns", "/var/lib/cni", cluster.node.root / "containers"])
    cluster.start()
    print(f"the node is ready after {time.monotonic() - began:.0f} s", flush=True)
    counter = suite.run_tests(cluster, after_each, suite.suite_arguments())
    ends_clean(cluster, clean, counter)
    try:
        cluster.node.close()
    except AssertionError as error:
        counter.fail("berthd ends on SIGTERM", str(error))
    images.close()
    return counter.finish()


if __name__ == "__main__":
    tools.runsc()  # from the network, which the suite itself does not have
    tools.crictl()
    tools.kubernetes()
    tools.berth_binary("berthd")
    environment.run_isolated(main, seconds=SECONDS, hidden=("/var/lib/kubelet",))
