# SPDX-License-Identifier: Apache-2.0
"""tests/kubernetes on the virtual machine: the control plane and kubectl run beside qemu, at full speed, and nothing but the kubelet
and Berth under emulation.

  network namespace of run.py                          the machine
    etcd, API server, controllers, kubectl, tests
    registry           HOST  tap ------------- eth0  ADDRESS   kubelet.service  berth.service
                                                     pods' networks, which HOST has a route to"""
import base64
import json
import pathlib
import subprocess
import time

from checks import after_each, ends_clean
from cluster import ADDRESS, Cluster
from objects import push_images
from remote import SECONDS, WORK, RemoteFiles, RemoteNode
from support import environment, registry, suite

TAP, HOST, PODS = "berthvm0", "10.123.0.254", "10.88.0.0/16"
LOG = WORK / "kubelet.log"
UNIT = f"""[Unit]
Description=kubelet
After=berth.service
[Service]
ExecStart=%s
Environment=GOGC=400
StandardOutput=append:{LOG}
StandardError=append:{LOG}
"""
MODULES = ["test_workloads", "test_probes", "test_streams", "test_volumes", "test_lifecycle", "test_security", "test_node",
           "test_runtimes", "test_version_2"]


def tests():
    """The names in kubernetes.txt; each must be a test's."""
    for module in MODULES:
        __import__(module)
    known = {f"{f.__module__}.{f.__name__}".replace("test_", "") for f, _ in suite.TESTS}
    lines = (pathlib.Path(__file__).resolve().parent / "kubernetes.txt").read_text().splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    unknown = set(names) - known
    assert not unknown, f"kubernetes.txt: no tests are called {sorted(unknown)}"
    return names


def network():
    """For this process and those that it starts: a network namespace with nothing but loopback and the machine's cable."""
    environment.unshare(environment.CLONE_NEWNET)
    for command in ("link set lo up", f"tuntap add dev {TAP} mode tap", f"link set {TAP} addrgenmode none",
                    f"addr add {HOST}/24 dev {TAP}", f"link set {TAP} up", f"route add {PODS} via {ADDRESS}"):
        subprocess.run(["ip", *command.split()], check=True)


class VirtualCluster(Cluster):
    def __init__(self, work, vm):
        self.vm, self._unit, self._next_look = vm, None, 0
        super().__init__(work)

    def inside(self, *arguments, **options):
        return self.vm.run("python3", "-B", "/payload/tests/vm/inside.py", "kubernetes", *arguments, seconds=600, **options)

    def _prepare_machine(self, *_):
        self.files, self.node_work, self.store = RemoteFiles(self.vm), WORK / "kubernetes", self.work
        self.node, self.listen, self.cgroup_version = RemoteNode(self.vm), "0.0.0.0", 2
        self.inside("before", HOST, ADDRESS)

    def assert_nothing_added(self, _):
        done = self.inside("after", ok=False)
        if done.code != 0:
            raise AssertionError(done.out)

    def pod_group(self, quality, uid, controller):
        """Of the systemd driver; a guaranteed pod's is not below a class's."""
        above = "kubepods.slice" if quality == "guaranteed" else f"kubepods.slice/kubepods-{quality}.slice"
        prefix = "kubepods" if quality == "guaranteed" else f"kubepods-{quality}"
        return pathlib.Path(f"/sys/fs/cgroup/{above}/{prefix}-pod{uid.replace('-', '_')}.slice")

    def _write_kubeconfig(self, token):
        super()._write_kubeconfig(token)
        self.node_kubeconfig = self.node_work / "kubeconfig"
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        self.files.write(self.node_kubeconfig, self.kubeconfig_text(token, {
            "server": f"https://{HOST}:6443", "tls-server-name": "localhost", "certificate-authority-data": authority}))

    # ------------------------------------------------------------------ the kubelet
    def machine_options(self):
        """The cgroup driver is not named: Berth tells it."""
        return {"featureGates": {"MemoryQoS": True}, "memoryReservationPolicy": "TieredReservation", "nodeStatusUpdateFrequency": "10s"}

    def run_kubelet(self, arguments):
        unit = UNIT % " ".join(map(str, ["/payload/.cache/kubernetes/kubelet", *arguments]))
        if unit != self._unit:
            self.files.write("/run/systemd/system/kubelet.service", unit)
            self.vm.run("systemctl", "daemon-reload")
            self._unit = unit
        self.vm.run("systemctl", "start", "kubelet.service")

    def stop_kubelet(self):
        self.vm.run("systemctl", "stop", "kubelet.service", seconds=SECONDS * environment.PATIENCE)

    def kubelet_runs(self):
        return self.vm.run("systemctl", "is-active", "kubelet.service", ok=False).out.strip() == "active"

    def kubelet_log_size(self):
        return int(self.vm.run("stat", "-c", "%s", LOG).out)

    def kubelet_log(self, since):
        return self.vm.run("sh", "-c", f"test ! -e {LOG} || tail -c +{since + 1} {LOG}").out

    def _alive(self):
        super()._alive()
        if self._unit and time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + 10
            if not self.kubelet_runs():
                raise SystemExit(f"the kubelet ended:\n{self.kubelet_log(0)[-4000:]}")

    def close(self):
        self.stop_kubelet()
        super().close()


def run(vm, work, counter, only):
    """Adds to the counter."""
    names = [name for name in tests() if not only or any(part in name for part in only)]
    assert names, f"kubernetes.txt: no test is called {' or '.join(only)}"
    began = time.monotonic()
    images = registry.Registry(work, work / "kubernetes-registry", 5000, listen="0.0.0.0")
    push_images(images.host)
    cluster = VirtualCluster(work / "kubernetes", vm)
    cluster.start()
    node = cluster.get("nodes")["items"][0]["status"]["nodeInfo"]
    print(f"the node is ready after {time.monotonic() - began:.0f} s: {json.dumps(node)}", flush=True)
    counted = suite.run_tests(cluster, after_each, names)
    ends_clean(cluster, cluster, counted)
    images.close()
    for kind in ("passed", "failed", "skipped"):
        setattr(counter, kind, getattr(counter, kind) + getattr(counted, kind))
