#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of berthd and of monitors at every fail point (matrix.py), and of berthd at random moments while pods and images come
and go; after each restart the node must be in order.   run.py [--full] [--rounds=N] [--seed=N] [--earlier=DIR] [PART OF A POINT'S NAME...]
A part of a name: only such points, no random rounds unless asked for; programs, corrupt, upgrade: those parts alone. --earlier: the programs
of an earlier version, for upgrade. --full or BERTH_CRASH=full: within an hour."""
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, oci, registry, snapshot, suite, tools
from support.node import Container, Node, Pod
from support.snapshot import Snapshot

IMAGE = "127.0.0.1:5000/test/busybox:1"
PULLED = "127.0.0.1:5000/test/pulled:1"


class Work(threading.Thread):
    """What a kubelet would do, over and over; an error ends a round of it, since the daemon dies under it on purpose."""

    def __init__(self, node, name, marker):
        super().__init__(daemon=True)
        self.node, self.marker = node, marker
        self.config = node.pod_config(name)
        self.pod_file = node.file(self.config)
        self.container_file = node.file(node.container_config(["sleep", marker]))
        self.over = threading.Event()
        self.answered = False  # RunPodSandbox has: what follows may stop the pod, and then a kubelet makes another one

    def run(self):
        while not self.over.is_set():
            try:
                self.once()
            except (AssertionError, subprocess.TimeoutExpired):
                return

    def once(self):
        self.answered = False
        pod = self.node.crictl("runp", self.pod_file).out.strip()
        self.answered = True
        container = self.node.crictl("create", pod, self.container_file, self.pod_file).out.strip()
        self.node.crictl("start", container)
        self.node.crictl("exec", "-s", container, "true")
        self.node.crictl("stop", "-t", "0", container)
        self.node.crictl("rm", container)
        self.node.crictl("stopp", pod)
        self.node.crictl("rmp", pod)


class Pulls(Work):
    def once(self):
        self.node.crictl("pull", PULLED)
        self.node.crictl("rmi", PULLED)


def sleepers(marker):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if words[:2] == [b"sleep", marker.encode()] and state != "Z":
                found.append(int(entry.name))
    return found


def check_order(node, works):
    """Everything that is listed can be asked for, and every process belongs to something that is listed."""
    running = set()
    for identifier in node.ids("pods"):
        node.json("inspectp", identifier)
    for identifier in node.ids("ps", "-a"):
        value = node.json("inspect", identifier)
        if value["status"]["state"] == "CONTAINER_RUNNING":
            running.add(int(value["info"]["pid"]))
        if value["status"]["state"] == "CONTAINER_UNKNOWN":
            raise AssertionError(f"container {identifier} is UNKNOWN: {value['status']}")
    for pid in running:
        assert pathlib.Path(f"/proc/{pid}").exists(), f"process {pid} of a running container does not exist"
    for work in works:
        for pid in sleepers(work.marker):
            assert pid in running, f"process {pid} ({work.marker}) belongs to no running container"


def check_retry(node, work):
    """The kubelet's next try: the same pod again, up to a container that runs, then all of it away."""
    listed = {node.json("inspectp", i)["status"]["metadata"]["name"]: i for i in node.ids("pods", "--state", "ready")}
    name = work.config["metadata"]["name"]
    if work.answered:
        stopped = [i for i in node.ids("pods", "--state", "notready")
                   if node.json("inspectp", i)["status"]["metadata"]["name"] == name]
        for identifier in stopped:
            node.crictl("rmp", identifier)
    pod = Pod(node, work.config)
    if name in listed:
        assert pod.id == listed[name], "a ready pod was made a second time"
    identifiers = node.ids("ps", "-a", "--pod", pod.id)
    for identifier in identifiers:
        node.crictl("rm", "-f", identifier)
    container = Container(pod, pod.create(["sleep", work.marker]), "main")
    container.start()
    assert container.exec("echo", "in").out.strip() == "in"


def one_round(node, seed, before):
    rng = random.Random(seed)
    works = [Work(node, f"crash-{seed}-a", str(900000 + 2 * (seed % 10000))),
             Work(node, f"crash-{seed}-b", str(900001 + 2 * (seed % 10000)))]
    pulls = Pulls(node, f"crash-{seed}-p", "0")
    everyone = [*works, pulls] if rng.random() < 0.5 else works
    for work in everyone:
        work.start()
    time.sleep(rng.uniform(0.05, 1.2))
    node.kill()
    if rng.random() < 0.3:  # and once more, while it puts things right
        node.start(wait=False)
        time.sleep(rng.uniform(0.0, 0.2))
        node.kill()
    for work in everyone:
        work.over.set()
    for work in everyone:
        work.join(40)
        assert not work.is_alive(), "a client hangs although its server is dead"
    node.start()
    check_order(node, works)
    for work in works:
        check_retry(node, work)
    check_order(node, works)
    node.crictl("rmp", "-fa")
    if pulls in everyone:
        node.crictl("pull", PULLED)
        node.crictl("rmi", PULLED)
    for work in works:
        assert not sleepers(work.marker), "processes of removed containers run on"
    subprocess.run(f"rm -rf {node.logs}/*", shell=True, check=True)
    before.assert_nothing_added(snapshot.of_the_node_itself, seconds=6)


FULL = "--full" in sys.argv or os.environ.get("BERTH_CRASH") == "full"


def option(name, default):
    return next((a.partition("=")[2] for a in sys.argv if a.startswith(f"--{name}=")), default)


def main():
    import corrupt
    import matrix
    import programs
    import scenarios
    import upgrade
    only = suite.suite_arguments()
    rounds = int(option("rounds", 0 if only else 100 if FULL else 8))
    first = int(option("seed", random.randrange(1 << 30)))
    images = registry.Registry(environment.WORK, environment.STORE / "registry", 5000)
    push = oci.Push(images.host)
    base = oci.busybox_tree().bytes()
    push.image("test/busybox", "1", oci.Image([base], {"Env": [oci.PATH]}))
    more = [oci.Tree().file(f"file-{n}", bytes([n + 1]) * 300_000).bytes() for n in range(4)]
    push.image("test/pulled", "1", oci.Image([base, *more], {"Env": [oci.PATH]}))
    node = Node(environment.WORK / "node", environment.STORE / "root", "/run/berth")
    node.start()
    node.crictl("pull", IMAGE)
    counter = suite.Counter()
    points = matrix.Matrix(node, counter)
    parts = {"programs", "corrupt", "upgrade"}
    if not only or set(only) - parts:
        points.every_point(scenarios.ALL, FULL, only)
    if not only or "programs" in only:
        programs.Programs(node, points.calls, points.run).all(points.restart)
    if not only or "corrupt" in only:
        corrupt.Corrupt(node, points.calls, points.run, points.start).all()
    if not only or "upgrade" in only:
        upgrade.Upgrade(node, points.calls, points.run, points.wait_ready).all(option("earlier", None))
    points.close()
    before = Snapshot([node.root, node.state, "/run/netns", "/var/lib/cni", node.logs])
    for number in range(rounds):
        seed = first + number
        mark, began = node.log_mark(), time.monotonic()
        try:
            one_round(node, seed, before)
            matrix.Counts.kills += 1
            counter.ok(f"round {number + 1}, seed {seed}", time.monotonic() - began)
        except Exception:
            counter.fail(f"round {number + 1}, seed {seed}", f"{traceback.format_exc()[-3000:]}\n--- berthd's log\n{node.log_since(mark)}")
            node.recover()
    node.close()
    images.close()
    counts = matrix.Counts
    print(f"crash: {counts.points} points, {counts.kills} kills, {counts.checked} invariants checked")
    return counter.finish()


if __name__ == "__main__":
    tools.crictl()
    tools.go_program("cri_calls")
    tools.berth_binary("berthd")
    environment.run_isolated(main, seconds=3600 if FULL else environment.SUITE_SECONDS)
