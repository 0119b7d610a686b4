#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kubeadm on Berth, as docs/kubernetes.md says: preflight, images, init with the control plane in static pods, upgrade, reset.   kubeadm.py

The tests are the steps of one node's life, in their order. A shell script stands in for systemd: all that kubeadm asks of it is to
start and to stop the kubelet, which then reads what kubeadm wrote."""
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, registry, suite, tools
from support.snapshot import Snapshot
from support.suite import contains, equal, eventually, test
import checks
from cluster import ADDRESS, KUBELET_HOME, NODE, Cluster
from kubeadm_images import CONTROL_PLANE, push_control_plane
from objects import REGISTRY, WEB, deployment, push_images

ETC = pathlib.Path("/etc/kubernetes")
HIDDEN = (str(KUBELET_HOME), str(ETC), "/var/lib/etcd")
# What this machine needs of the kubelet (cgroup v1, no CAP_SYS_RESOURCE, a control group of the suite's own), and shorter waits.
# The runtime's socket and the cgroup driver are not among it: those are kubeadm's and Berth's to say.
KUBELET = ("cgroupRoot", "failCgroupV1", "oomScoreAdj", "maxOpenFiles", "resolvConf", "evictionHard", "volumePluginDir",
           "fileCheckFrequency", "nodeStatusUpdateFrequency")
SYSTEM = sorted([*CONTROL_PLANE, "kube-proxy", "coredns", "coredns"])
CGROUP_V1 = not pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
IGNORED = ["--ignore-preflight-errors=SystemVerification"] if CGROUP_V1 else []
# kubeadm reset leaves the rules of the kubelet and of kube-proxy, with the tables around them, and says so; and the pods' control
# groups, which are made and removed by the kubelet that it stops.
KEPT_GROUPS = re.compile(r"/kubepods/(besteffort|burstable)/pod[-0-9a-f]+$")
KEPT_RULES = re.compile(r"KUBE-|kube-proxy| (ACCEPT|COMMIT)$|hook \w+ priority [\w+ -]+; policy accept;$")

# As kubeadm's drop-in for kubelet.service has it: https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/kubelet-integration
SYSTEMCTL = """#!/bin/sh
pid=$(cat {pid} 2>/dev/null)
runs() {{ [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }}
stop() {{ if runs; then kill "$pid"; fi; while runs; do sleep 0.05; done; rm -f {pid}; }}
start() {{
  KUBELET_KUBEADM_ARGS=
  [ ! -e {home}/kubeadm-flags.env ] || . {home}/kubeadm-flags.env
  setsid {kubelet} --bootstrap-kubeconfig={etc}/bootstrap-kubelet.conf --kubeconfig={etc}/kubelet.conf --config={home}/config.yaml \\
    $KUBELET_KUBEADM_ARGS >>{log} 2>&1 </dev/null &
  echo $! >{pid}
}}
case "$*" in
  daemon-reload) ;;
  "status kubelet") echo "Loaded: loaded" ;;
  "is-enabled kubelet") ;;
  "is-active kubelet") runs && echo active ;;
  "stop kubelet") stop ;;
  "start kubelet") runs || start ;;
  "restart kubelet") stop; start ;;
  *) echo "systemctl $*: not known here" >&2; exit 1 ;;
esac
"""


class KubeadmNode(Cluster):
    def __init__(self, work):
        super().__init__(work)
        self.programs = tools.kubeadm()
        self.kubeconfig = ETC / "admin.conf"
        self.logs["kubelet"] = self.work / "kubelet.log"
        self.logs["kubelet"].touch()
        registry.write_hosts(self.node.certs, "registry.k8s.io", f"http://{REGISTRY}")
        hosts = self.work / "hosts"  # kubeadm asks for its node's name
        hosts.write_text(f"127.0.0.1 localhost\n{ADDRESS} {NODE}\n")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        self._write_systemctl()
        self.config = self.work / "kubeadm.yaml"
        self.config.write_text("---\n".join(json.dumps(document, indent=1) + "\n" for document in self._documents()))

    def _write_systemctl(self):
        self._bin = self.work / "bin"
        self._bin.mkdir()
        kubelet = self.work / "start-kubelet"
        *words, script = self.with_tunables()
        kubelet.write_text(f"#!/bin/sh\nexec {' '.join(words)} '{script}' {self.programs}/kubelet \"$@\"\n")
        systemctl = self._bin / "systemctl"
        systemctl.write_text(SYSTEMCTL.format(pid=self.work / "kubelet.pid", home=KUBELET_HOME, etc=ETC, kubelet=kubelet,
                                              log=self.logs["kubelet"]))
        for path in (kubelet, systemctl):
            path.chmod(0o755)

    def _documents(self):
        """docs/kubernetes.md's, with what this machine needs."""
        kubelet = self.kubelet_configuration()
        yield {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration",
               "nodeRegistration": {"criSocket": self.node.socket, "name": NODE}}
        yield {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", "kubernetesVersion": tools.KUBERNETES_VERSION}
        yield {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **{key: kubelet[key] for key in KUBELET}}
        # In a network namespace of its own it may not set the machine's connection tracking.
        yield {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
               "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}}

    def kubeadm(self, *arguments, check=True, timeout=400):
        environ = {**os.environ, "PATH": f"{self._bin}:{self.programs}:{os.environ['PATH']}", "HOME": str(self.work)}
        done = subprocess.run([self.programs / "kubeadm", *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL, cwd=self.work, env=environ)
        with open(self.work / "kubeadm.log", "a") as log:
            log.write(f"$ kubeadm {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
        if check and done.returncode != 0:
            raise AssertionError(f"kubeadm {' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def of_config(self, key):
        return re.findall(rf"^{key}: (.*)$", (KUBELET_HOME / "config.yaml").read_text(), re.M)

    def restart_kubelet(self):
        self.kubelet_started = datetime.datetime.now(datetime.timezone.utc)
        subprocess.run([self._bin / "systemctl", "restart", "kubelet"], check=True, timeout=60)

    def stop_kubelet(self):
        subprocess.run([self._bin / "systemctl", "stop", "kubelet"], check=True, timeout=60)

    def recover(self):
        pass


def ready_system_pods(cluster):
    """The control plane's pods and the addons': name -> containers' ids, as soon as all are ready."""
    def are_ready():
        pods = cluster.get("pods", "-n", "kube-system")["items"]
        states = {pod["metadata"]["name"]: pod["status"].get("containerStatuses", []) for pod in pods}
        equal(sorted(next(part for part in SYSTEM if name.startswith(part)) for name in states), SYSTEM, "pods")
        waiting = [name for name, containers in states.items() if not containers or not all(one["ready"] for one in containers)]
        assert not waiting, f"not ready: {waiting}"
        return {name: [one["containerID"] for one in containers] for name, containers in states.items()}
    return eventually(are_ready, 120, 1)


@test(seconds=200)
def test_preflight_finds_berth_and_images_are_pulled_by_it(cluster):
    done = cluster.kubeadm("init", "phase", "preflight", "--config", cluster.config, check=False)
    errors = re.findall(r"\[ERROR ([^]]*)\]: (.*)", done.stderr + done.stdout)
    equal([name for name, _ in errors], ["SystemVerification"] if CGROUP_V1 else [], done.stdout + done.stderr)
    assert all("cgroups v1 support is deprecated" in text for _, text in errors), errors
    names = cluster.kubeadm("config", "images", "list", "--config", cluster.config).stdout.split()
    pulled = cluster.kubeadm("config", "images", "pull", "--config", cluster.config).stdout
    equal(sorted(re.findall(r"Pulled (\S+)", pulled)), sorted(names), "pulled")
    held = {tag for image in cluster.node.json("images", "-o", "json")["images"] for tag in image["repoTags"]}
    assert set(names) <= held, (names, held)


@test(seconds=500)
def test_init_makes_a_control_plane_of_static_pods(cluster):
    cluster.kubelet_started = datetime.datetime.now(datetime.timezone.utc)
    said = cluster.kubeadm("init", "--config", cluster.config, *IGNORED).stdout
    contains(said, "Your Kubernetes control-plane has initialized successfully!")
    equal((KUBELET_HOME / "instance-config.yaml").read_text(), f'containerRuntimeEndpoint: "{cluster.node.socket}"\n', "socket")
    equal(cluster.of_config("containerRuntimeEndpoint"), [cluster.node.socket], "config.yaml")
    # kubeadm writes "systemd" whatever the node has; the kubelet asks Berth, which has cgroupfs here.
    equal(cluster.of_config("cgroupDriver"), ["systemd"], "config.yaml")
    cluster.wait_node_ready()
    node = cluster.get("node", NODE)
    contains(node["status"]["nodeInfo"]["containerRuntimeVersion"], "berth://")
    assert "kubeadm.alpha.kubernetes.io/cri-socket" not in node["metadata"]["annotations"], node["metadata"]["annotations"]
    pods = ready_system_pods(cluster)
    running = {one["id"] for one in cluster.node.json("ps", "-o", "json")["containers"]}
    equal({identifier.removeprefix("berth://") for ids in pods.values() for identifier in ids}, running, "Berth's containers")


@test(seconds=200)
def test_a_deployment_is_reached_by_its_service_and_name(cluster):
    cluster.kubectl("taint", "nodes", NODE, "node-role.kubernetes.io/control-plane-")
    cluster.apply(deployment("web", f"{WEB}:1"), {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s", timeout=120)
    name = cluster.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"]
    address = cluster.get("service", "web")["spec"]["clusterIP"]

    def is_served():  # as soon as kube-proxy has heard of it
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                return equal(answer.read(), b"version 1\n", "page") or True
        except OSError as error:
            raise AssertionError(f"the service: {error}") from error
    eventually(is_served, 30, 0.5)
    equal(cluster.out("exec", name, "--", "wget", "-qO-", "http://web.default.svc.cluster.local/"), "version 1\n", "by name, from a pod")
    cluster.kubectl("exec", name, "--", "sh", "-c", "echo to the log >/proc/1/fd/1")
    eventually(lambda: cluster.out("logs", name) == "to the log\n", 10)
    contains(cluster.out("logs", "-n", "kube-system", f"kube-apiserver-{NODE}"), "Serving securely on")


@test(seconds=400)
def test_an_upgrade_asks_the_runtime_that_is_written_down(cluster):
    before = ready_system_pods(cluster)
    config = KUBELET_HOME / "config.yaml"
    config.write_text(re.sub("(?m)^containerRuntimeEndpoint: .*\n", "", config.read_text()))
    cluster.kubeadm("upgrade", "node", *IGNORED)
    equal(cluster.of_config("containerRuntimeEndpoint"), [cluster.node.socket], "config.yaml")
    cluster.restart_kubelet()
    cluster.wait_node_ready()
    equal(ready_system_pods(cluster), before, "containers, after the kubelet's restart")


@test(seconds=200)
def test_reset_removes_every_pod(cluster):
    equal(len(cluster.node.ids("pods")), len(SYSTEM) + 2, "pods that run")
    # Not the one that is written down, but the first of the sockets that kubeadm knows: Berth's answers for cAdvisor are at CRI-O's.
    contains(cluster.kubeadm("reset", "-f", "--dry-run", "-v=1").stderr, "using CRI socket: unix:///var/run/crio/crio.sock")
    done = cluster.kubeadm("reset", "-f", "--cri-socket", cluster.node.socket)
    assert "Failed" not in done.stderr, done.stderr
    equal(cluster.node.ids("pods"), [], "pods")
    equal(cluster.node.ids("ps", "-a"), [], "containers")
    for directory in (KUBELET_HOME, ETC / "manifests", pathlib.Path("/var/lib/etcd")):
        equal(list(directory.iterdir()), [], f"what is left in {directory}")


def after_each(cluster):
    found = checks.errors_of(cluster)
    if found:
        raise AssertionError("the kubelet blames its runtime:\n  " + "\n  ".join(line[:900] for line in found[:10]))


def of_others(kind, value):
    kept = {"cgroup": KEPT_GROUPS, "rule": KEPT_RULES}.get(kind)
    return checks.of_the_node(kind, value) or kept and kept.search(value)


def main():
    work = environment.WORK
    images = registry.Registry(work, environment.STORE / "registry", 5000)
    push_images(images.host)
    cluster = KubeadmNode(work / "cluster")
    cluster.node.start()
    names = cluster.kubeadm("config", "images", "list", "--config", cluster.config).stdout.split()
    push_control_plane(images.host, cluster.programs, tools.go_program("coredns"), names)
    clean = Snapshot([cluster.node.state, "/run/netns", "/var/lib/cni", cluster.node.root / "containers"])
    counter = suite.run_tests(cluster, after_each, suite.suite_arguments())
    cluster.stop_kubelet()
    checks.ends_clean(cluster, clean, counter, of_others)
    cluster.node.close()
    images.close()
    return counter.finish()


if __name__ == "__main__":
    tools.crictl()
    tools.kubeadm()
    tools.go_program("coredns")
    tools.berth_binary("berthd")
    environment.run_isolated(main, hidden=HIDDEN)
