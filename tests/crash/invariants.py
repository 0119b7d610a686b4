# SPDX-License-Identifier: Apache-2.0
"""What must be true of a node at any time that nothing is going on: every object is listed or gone, never half, and whatever lies
on disk or in the kernel belongs to something that is listed."""
import contextlib
import json
import os
import pathlib
import re
import sqlite3
import time

from support import environment

ID = re.compile(r"[0-9a-f]{64}")
# Programs that end with the call that needs them; crun and runc run from a sealed copy, which they are called after.
PASSING = ("crun", "runc", "memfd:program", "berth-cni", "berth-fetch", "berth-unpack")


class Counts:
    points = kills = checked = 0


def rows(path, query):
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
        return {row[0] for row in database.execute(query)}


def names(directory):
    try:
        return set(os.listdir(directory))
    except FileNotFoundError:
        return set()


def processes():
    """pid -> (name, command line) of everything here that is not a zombie."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if stat.rpartition(")")[2].split()[0] != "Z":
            found[int(entry)] = (stat.partition("(")[2].rpartition(")")[0], [w.decode(errors="replace") for w in words if w])
    return found


def ancestors(pid):
    while pid > 1:
        yield pid
        try:
            pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


def monitor_of(node, sandbox):
    """The pid of a pod's monitor: it holds the pod's run directory as descriptor 4."""
    for pid, (name, _) in processes().items():
        if name == "berth-monitor" and _run_directory(pid) == sandbox:
            return pid
    return None


def _run_directory(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/fd/4"))
    except OSError:
        return ""


class Order:
    """One look at everything. `wrong` lists what is not as it must be."""

    def __init__(self, node, calls, marker=None, unknown_allowed=False):
        self.node, self.calls, self.wrong = node, calls, []
        self.pods = {p["id"]: p for p in calls("ListPodSandbox").get("items", [])}
        self.containers = {c["id"]: c for c in calls("ListContainers").get("containers", [])}
        self._objects(unknown_allowed)
        self._disk()
        self._network()
        self._images()
        self._kernel(marker)

    def expect(self, condition, text):
        Counts.checked += 1
        if not condition:
            self.wrong.append(text)

    def belong(self, found, owners, what):
        """Every 64-digit name in `found` is one of the owners'."""
        self.expect(True, "")
        for name in found:
            for identifier in ID.findall(name):
                self.expect(identifier in owners, f"{what} of nothing that is listed: {name}")

    def _objects(self, unknown_allowed):
        self.pids = set()
        for identifier, pod in self.pods.items():
            status = self.calls("PodSandboxStatus", {"pod_sandbox_id": identifier})["status"]
            self.expect(status["metadata"] == pod["metadata"], f"pod {identifier}: status and list differ")
            if pod["state"] == "SANDBOX_READY":
                self.expect((status.get("network") or {}).get("ip"), f"pod {identifier} is ready without an address")
        for identifier, container in self.containers.items():
            answer = self.calls("ContainerStatus", {"container_id": identifier, "verbose": True})
            state = answer["status"]["state"]
            self.expect(container["pod_sandbox_id"] in self.pods, f"container {identifier} of a pod that is not listed")
            self.expect(unknown_allowed or state != "CONTAINER_UNKNOWN", f"container {identifier} is UNKNOWN")
            if state in ("CONTAINER_RUNNING", "CONTAINER_CREATED"):
                pid = json.loads(answer["info"]["info"])["pid"]
                self.expect(pid > 0 and os.path.exists(f"/proc/{pid}"), f"container {identifier} {state} has no process {pid}")
                self.pids.add(pid)

    def _disk(self):
        node = self.node
        self.expect(rows(node.root / "berth.db", "SELECT id FROM sandboxes") == set(self.pods), "pod records and the list differ")
        self.expect(rows(node.root / "berth.db", "SELECT id FROM containers") == set(self.containers),
                    "container records and the list differ")
        directories = names(node.state / "pods")
        self.belong(directories, self.pods, "run directory")
        for pod, value in self.pods.items():
            self.expect(value["state"] != "SANDBOX_READY" or pod in directories, f"ready pod {pod} has no run directory")
        for pod in directories:
            run = node.state / "pods" / pod
            self.belong(names(run / "c") | names(run / "exits"), self.containers, f"bundle or exit record in {pod}")
            if self.pods.get(pod, {}).get("state") == "SANDBOX_READY":  # a dead monitor's go with its pod
                self.expect(not names(run / "calls"), f"calls of {pod}: {names(run / 'calls')}")
        for handler in names(node.state / "runtime"):
            self.belong(names(node.state / "runtime" / handler), self.containers, f"{handler}'s state")
        self.belong(names(node.root / "containers"), self.containers, "root file system")

    def _network(self):
        node = self.node
        live = {pod for pod, value in self.pods.items() if value["state"] == "SANDBOX_READY"}
        pins, records = names("/run/netns"), names(node.root / "network")
        self.belong(pins, self.pods, "network namespace")
        self.belong(records, self.pods, "network record")
        for pod in live:
            self.expect(any(pin.endswith(pod) for pin in pins), f"ready pod {pod} has no network namespace")
            self.expect(pod in records and f"{pod}.result" in records, f"ready pod {pod} has no network record")
        for top in (node.root / "network" / "ipam", pathlib.Path("/var/lib/cni")):
            for directory, _, files in os.walk(top):
                for name in files:
                    if re.match(r"[\d.]+$|[0-9a-f:]+$", name):
                        text = pathlib.Path(directory, name).read_text(errors="replace")
                        self.belong([text], self.pods, f"address {name}")

    def _images(self):
        images = self.node.root / "images"
        layers = rows(images / "images.db", "SELECT diff_id FROM layers")
        self.expect(layers == names(images / "layers"), "layers on disk and their records differ: "
                    f"{layers ^ names(images / 'layers')}")
        self.expect(rows(images / "images.db", "SELECT diff_id FROM image_layers") <= layers, "an image without its layers")
        self.expect(not names(images / "tmp"), f"unfinished layers: {names(images / 'tmp')}")
        self.expect(rows(images / "images.db", "SELECT container_id FROM rootfs") <= set(self.containers),
                    "a root file system's record of no container")

    def _kernel(self, marker):
        owners = {**self.pods, **self.containers}
        for hierarchy in ("", *names("/sys/fs/cgroup")):
            for _, directories, _ in os.walk(f"/sys/fs/cgroup/{hierarchy}{environment.cgroup_parent()}"):
                self.belong(directories, owners, f"control group of {hierarchy}")
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            if " - overlay " in line:
                self.expect(False, f"a container's mount is on the host: {line}")
            self.belong([line.split()[4]], self.pods, "mount")
        for pid, (name, words) in processes().items():
            if name == "berth-monitor":
                run = _run_directory(pid)
                self.expect(not ID.fullmatch(run) or run in self.pods, f"monitor {pid} of no pod that is listed")
            # A container that waits to be started still has its OCI runtime's name; its own id comes last.
            waits = "create" in words and words[-1] in self.containers
            self.expect(waits or not name.startswith(PASSING), f"left over: {pid} {name} {words}")
            if marker and words[:2] == ["sleep", marker]:
                self.expect(any(p in self.pids for p in ancestors(pid)), f"process {pid} of no running container")


def check(node, calls, marker=None, unknown_allowed=False, seconds=5):
    """What ends may take a moment to."""
    end = time.monotonic() + seconds
    while True:
        order = Order(node, calls, marker, unknown_allowed)
        if not order.wrong:
            return order
        if time.monotonic() > end:
            raise AssertionError("not in order:\n  " + "\n  ".join(order.wrong))
        time.sleep(0.05)
