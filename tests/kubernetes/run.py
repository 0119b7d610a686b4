#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real control plane and kubelet on Berth, driven by kubectl.   run.py [PART OF A NAME...]"""
import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

from checks import after_each, ends_clean
from support import environment, gvisor, registry, suite, tools
from support.snapshot import Snapshot

PARTS = ["test_workloads", "test_probes", "test_streams", "test_volumes", "test_lifecycle", "test_security", "test_images",
         "test_node", "test_runtimes"]
SECONDS = 3000


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
