# SPDX-License-Identifier: Apache-2.0
"""The last: a busy node is emptied, and the machine is as it was before its first pod."""
import shutil
import subprocess

from support.node import NODE, Pod
from support.snapshot import of_the_node_itself
from support.suite import equal, eventually, test


@test
def test_nothing_is_left_after_all_pods_and_images_are_removed(node):
    node.crictl("pull", "127.0.0.1:5000/test/web:1")
    node.crictl("pull", "127.0.0.1:5000/test/zstd:1")
    pods = [node.pod(), node.pod(handler="runc"), node.pod(namespaces={"network": NODE}), node.pod(namespaces={"pid": 0}),
            node.pod(security={"privileged": True}), node.pod(port_mappings=[{"container_port": 80, "host_port": 8090}])]
    for pod in pods:
        pod.run()
        pod.run(["true"], name="ended")
        pod.create(["true"], name="created")
    pods[5].run(None, image="127.0.0.1:5000/test/web:1", name="web")
    node.crictl("stopp", pods[0].id)
    equal(len(node.ids("ps", "-a")), 19, "containers")
    node.crictl("rmp", "-fa")
    node.crictl("rmi", "-a")
    equal((node.ids("pods"), node.ids("ps", "-a"), node.ids("images")), ([], [], []), "what is listed")
    for directory in node.logs.iterdir():
        shutil.rmtree(directory)
    node.bare.assert_nothing_added(of_the_node_itself, seconds=8)
    node.crictl("pull", "127.0.0.1:5000/test/busybox:1")


@test
def test_a_stopped_daemon_leaves_no_process(node):
    Pod(node, node.pod_config())
    node.crictl("rmp", "-fa")
    for directory in node.logs.iterdir():
        shutil.rmtree(directory)
    equal(node.stop_daemon(), 0, "exit code")

    def none_left():  # berth-cni's last child waits for the kernel for a moment longer than its call
        found = subprocess.run(["ps", "-eo", "comm"], capture_output=True, text=True).stdout
        assert "berth" not in found, found
        return True

    eventually(none_left, 3)
    node.start()
