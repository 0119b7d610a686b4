#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real berthd driven by crictl, with real crun, runc, CNI plugins, overlay and registries.   run.py [PART OF A NAME...]"""
import os
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, registry, suite, tools
from support.node import Node
from support.snapshot import Snapshot, of_the_node_itself

PARTS = ["test_images", "test_registry_auth", "test_credentials", "test_faulty_registries", "test_signatures", "test_proxies", "test_trees", "test_store", "test_full_disk",
         "test_pods", "test_containers", "test_logs", "test_security", "test_volumes", "test_image_volumes", "test_userns",
         "test_network", "test_update", "test_cdi", "test_fields", "test_errors", "test_cri", "test_rules",
         "test_stream_server", "test_restart", "test_reboot", "test_exits", "test_resources", "test_stats", "test_streaming",
         "test_gvisor", "test_whole"]


def main():
    from images import HTTPS, Images
    for part in PARTS:
        __import__(part)
    work = environment.WORK
    images = Images(work)
    images.start_https(work)
    node = Node(work / "node", environment.STORE / "root", "/run/berth", {"image": {"progress_timeout_s": 5, "pinned": ["127.0.0.1:5000/test/user-*"]}})
    node.images, node.everything = images, Images
    registry.write_hosts(node.certs, HTTPS, f"https://{HTTPS}", ca=images.authority)
    node.start()
    # What must be there again after everything is removed: images too.
    node.bare = Snapshot([node.root, node.state, "/run/netns", "/var/lib/cni", "/etc/cni"])
    node.crictl("pull", "127.0.0.1:5000/test/busybox:1")
    node.clean = Snapshot([node.state, "/run/netns", "/var/lib/cni", node.root / "containers"])

    counter = suite.run_tests(node, nothing_left, suite.suite_arguments())
    try:
        node.close()
    except AssertionError as error:
        counter.fail("berthd ends on SIGTERM", str(error))
    images.close()
    return counter.finish()


def nothing_left(node):
    node.clean.assert_nothing_added(of_the_node_itself)
    for directory in node.logs.iterdir():  # the kubelet's, not Berth's
        shutil.rmtree(directory)


if __name__ == "__main__":
    tools.runsc()  # from the network, which the suite itself does not have
    tools.crictl()
    for module in ("cri_v1", "cri_v1alpha2", "streamclient"):  # here, where there is a network
        tools.go_program(module)
    tools.berth_binary("berthd")
    # The long form of test_streaming's rounds takes its time.
    environment.run_isolated(main, seconds=environment.SUITE_SECONDS + int(os.environ.get("BERTH_ROUNDS", "0")))
