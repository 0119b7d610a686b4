#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A node moved from containerd to Berth and back, as docs/kubernetes.md says.   CONTAINERD=/path moving.py

The kubelet and its directory stay, the runtime is another: pods come again on the new one, and nothing is left of the old one's."""
import pathlib
import sys
import urllib.request

sys.dont_write_bytecode = True
TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "kubernetes"), str(TESTS.parent / "bench"), str(TESTS)]

from support import environment, registry, suite, tools
from support.suite import equal, eventually, test
import pod_images
import runtimes
from cluster import NODE, Cluster
from objects import WEB, deployment, push_images

START = {"containerd": runtimes.containerd, "berth": runtimes.berth}


class MovedNode(Cluster):
    """Its runtime is one of START."""

    def log_mark(self):
        self._marks, self.expected = {"kubelet": self.logs["kubelet"].stat().st_size}, []
        return 0

    def log_since(self, _):
        return self.node.last_words() + "\n".join(self.kubelet_log_of_this_test().splitlines()[-40:])

    def recover(self):
        pass

    def move(self, name):
        """The steps of docs/kubernetes.md, in their order."""
        self.kubectl("drain", NODE, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s")
        self.stop_kubelet()
        self.node.remove_pods()
        equal(self.node.pods(), [], "pods of the runtime that goes")
        self.node.close()
        self.node = START[name](self.work.parent, environment.STORE, sampled=False)
        self.start_kubelet()
        self.wait_node_ready()
        version = self.get("node", NODE)["status"]["nodeInfo"]["containerRuntimeVersion"]
        assert version.startswith(f"{name}://"), version
        self.kubectl("uncordon", NODE)


def works(cluster, runtime):
    """Both pods of the deployment run, with containers of this runtime."""
    def are_ready():
        pods = [pod["status"] for pod in cluster.get("pods", "-l", "app=web")["items"] if "deletionTimestamp" not in pod["metadata"]]
        statuses = [one for pod in pods for one in pod.get("containerStatuses", [])]
        return len(statuses) == 2 and all(one["ready"] and one["containerID"].startswith(f"{runtime}://") for one in statuses) and pods
    for pod in eventually(are_ready, 120, 1):
        with urllib.request.urlopen(f"http://{pod['podIP']}:8080/", timeout=20) as answer:
            equal(answer.read(), b"version 1\n", "page")
    name = cluster.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"]
    equal(cluster.out("exec", name, "--", "echo", "works"), "works\n", "exec")


@test(seconds=600)
def test_a_node_moves_from_containerd_to_berth_and_back(cluster):
    cluster.apply(deployment("web", f"{WEB}:1"))
    works(cluster, "containerd")
    for runtime in ("berth", "containerd"):
        cluster.move(runtime)
        works(cluster, runtime)


def main():
    work = environment.WORK
    images = registry.Registry(work, environment.STORE / "registry", 5000)
    registry.write_hosts(work / "certs.d", images.host, f"http://{images.host}")
    push_images(images.host)
    pod_images.push(work)
    runtimes.write_networks(work)
    cluster = MovedNode(work / "cluster", node=runtimes.containerd(work, environment.STORE, sampled=False))
    cluster.start()
    counter = suite.run_tests(cluster, lambda c: c.sweep(), suite.suite_arguments())
    eventually(lambda: not cluster.node.pods(), 150, 1)
    cluster.close()
    cluster.node.close()
    images.close()
    return counter.finish()


if __name__ == "__main__":
    if not runtimes.program("containerd"):
        raise SystemExit("no containerd: set CONTAINERD=/path or put it on PATH")
    tools.crictl()
    tools.kubernetes()
    environment.run_isolated(lambda: runtimes.without_unified(main), hidden=("/var/lib/kubelet",))
