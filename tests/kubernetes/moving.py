#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A node moved from containerd or CRI-O to Berth and back, as docs/kubernetes.md says.   CONTAINERD=/path CRIO=/path moving.py

A peer that is not here is skipped. The kubelet and its directory stay, the runtime is another: pods come again on the new one,
and nothing is left of the old one's."""
import pathlib
import re
import subprocess
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

METRICS = '[metrics]\ncadvisor = "on"\n'  # as beside an installed CRI-O
SCHEME = {"crio": "cri-o"}  # what the names of runtimes are in Kubernetes, where they differ


def start(name, work):
    if name == "berth":
        return runtimes.berth(work, environment.STORE, sampled=False, more=METRICS)
    return runtimes.PEERS[name](work, environment.STORE, sampled=False)


def of_pods():
    """Names of network namespaces, interfaces of pods' pairs, and files of leases below the directories that runtimes share."""
    spaces = pathlib.Path("/run/netns")
    links = subprocess.run(["ip", "-o", "link", "show", "type", "veth"], capture_output=True, text=True, check=True).stdout
    leases = [path.name for path in pathlib.Path("/var/lib/cni").rglob("[0-9]*.*.*.*")]
    return (sorted(path.name for path in spaces.iterdir()) if spaces.is_dir() else [], re.findall(r"^\d+: ([^:@]+)", links, re.M), leases)


class MovedNode(Cluster):
    """Its runtime is Berth or one of runtimes.PEERS."""

    def log_mark(self):
        self._mark, self.expected = self.kubelet_log_size(), []
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
        equal(of_pods(), self.without_pods, f"what is left of {self.node.name}'s pods")
        self.node = start(name, self.work.parent)
        self.start_kubelet()
        self.wait_node_ready()
        version = self.get("node", NODE)["status"]["nodeInfo"]["containerRuntimeVersion"]
        assert version.startswith(f"{SCHEME.get(name, name)}://"), version
        self.kubectl("uncordon", NODE)


def works(cluster, runtime):
    """Both pods of the deployment run, with containers of this runtime."""
    scheme = f"{SCHEME.get(runtime, runtime)}://"

    def are_ready():
        pods = [pod["status"] for pod in cluster.get("pods", "-l", "app=web")["items"] if "deletionTimestamp" not in pod["metadata"]]
        statuses = [one for pod in pods for one in pod.get("containerStatuses", [])]
        return len(statuses) == 2 and all(one["ready"] and one["containerID"].startswith(scheme) for one in statuses) and pods
    pods = eventually(are_ready, 120, 1)
    assert of_pods() != cluster.without_pods, cluster.without_pods
    for pod in pods:
        with urllib.request.urlopen(f"http://{pod['podIP']}:8080/", timeout=20) as answer:
            equal(answer.read(), b"version 1\n", "page")
    name = cluster.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"]
    equal(cluster.out("exec", name, "--", "echo", "works"), "works\n", "exec")


def names_pods(cluster):
    """The kubelet's own cAdvisor knows the pods, as CRI-O's or as Berth's."""
    eventually(lambda: 'namespace="default",pod="web-' in cluster.raw(f"/api/v1/nodes/{NODE}/proxy/metrics/cadvisor"), 60, 2)


def there_and_back(cluster, peer):
    if not runtimes.program(peer):
        raise suite.Skip(f"no {peer}: set {peer.upper()}=/path or put it on PATH")
    if cluster.node.name != peer:
        cluster.move(peer)
    cluster.apply(deployment("web", f"{WEB}:1"))
    works(cluster, peer)
    for runtime in ("berth", peer):
        cluster.move(runtime)
        works(cluster, runtime)
        names_pods(cluster)


@test(seconds=600)
def test_a_node_moves_from_containerd_to_berth_and_back(cluster):
    there_and_back(cluster, "containerd")


@test(seconds=600)
def test_a_node_moves_from_crio_to_berth_and_back(cluster):
    there_and_back(cluster, "crio")


def main():
    work = environment.WORK
    images = registry.Registry(work, environment.STORE / "registry", 5000)
    registry.write_hosts(work / "certs.d", images.host, f"http://{images.host}")
    push_images(images.host)
    pod_images.push(work)
    runtimes.write_networks(work)
    first = next(name for name in runtimes.PEERS if runtimes.program(name))
    cluster = MovedNode(work / "cluster", node=start(first, work))
    cluster.without_pods = of_pods()
    cluster.start()
    counter = suite.run_tests(cluster, lambda c: c.sweep(), suite.suite_arguments())
    eventually(lambda: not cluster.node.pods(), 150, 1)
    cluster.close()
    cluster.node.close()
    images.close()
    return counter.finish()


if __name__ == "__main__":
    if not any(map(runtimes.program, runtimes.PEERS)):
        raise SystemExit("neither containerd nor CRI-O: set CONTAINERD=/path or CRIO=/path, or put one on PATH")
    tools.crictl()
    tools.kubernetes()
    environment.run_isolated(lambda: runtimes.without_unified(main), hidden=("/var/lib/kubelet",))
