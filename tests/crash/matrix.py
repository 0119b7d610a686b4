# SPDX-License-Identifier: Apache-2.0
"""Every fail point (src/base/fail_point.h): a kubelet's work is done up to it, the program dies there, is started again, the node
must be in order, and the kubelet goes on where it was to the end; then nothing may be left."""
import os
import pathlib
import subprocess
import time

import invariants
from invariants import Counts
from kubelet import FAILURES, PULLED, Kubelet
from support import environment, snapshot, suite, tools
from support.snapshot import Snapshot

ARMED = environment.WORK / "fail-points"


def listed(program):
    done = subprocess.run([tools.berth_binary(program), "--list-fail-points"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def arm(point, action="kill"):
    (ARMED / "part").write_text(action)
    os.rename(ARMED / "part", ARMED / point)


def armed(point):
    return (ARMED / point).exists()


def disarm():
    for path in ARMED.iterdir():
        path.unlink()


def reached():
    try:
        return [line.split()[1] for line in (ARMED / "reached").read_text().splitlines()]
    except FileNotFoundError:
        return []


class Scenario:
    """What a kubelet does (a function from it to its steps), which points do what meanwhile, the pod's namespaces."""

    def __init__(self, name, steps, armed=None, **pod):
        self.name, self.steps, self.armed, self.pod = name, steps, armed or {}, pod


def kill_monitor(kubelet):
    pid = invariants.monitor_of(kubelet.node, kubelet.pod)
    assert pid, "no monitor"
    os.kill(pid, 9)
    kubelet.lost_exit = True
    Counts.kills += 1


class Matrix:
    def __init__(self, node, counter):
        self.node, self.counter, self.number = node, counter, 0
        ARMED.mkdir(mode=0o700, exist_ok=True)
        os.environ["BERTH_FAIL_POINTS"] = str(ARMED)
        from support.calls import Calls
        self.calls = Calls(node.socket)
        self.restart()
        self.before = Snapshot([node.root, node.state, "/run/netns", "/var/lib/cni", node.logs])
        self.descriptors = len(self.open_files())

    def close(self):
        del os.environ["BERTH_FAIL_POINTS"]
        self.node.restart()
        self.calls.close()

    # ------------------------------------------------------------------ the daemon
    def start(self):
        self.node.start(wait=False)
        self.wait_ready()

    def wait_ready(self, seconds=20):
        end = time.monotonic() + seconds
        while self.calls.ask("Version", seconds=1)[0] != "OK":
            assert self.node.running(), f"berthd ended at its start with {self.node.daemon.returncode}"
            assert time.monotonic() < end, "berthd is not ready"
            time.sleep(0.005)

    def restart(self):
        if self.node.running():
            self.node.kill()
        self.start()

    def died(self, seconds):
        end = time.monotonic() + seconds
        while self.node.running():
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        assert self.node.daemon.returncode == -9, f"berthd ended with {self.node.daemon.returncode}, not by the kill"
        Counts.kills += 1
        return True

    # ------------------------------------------------------------------ one point
    def kubelet(self, scenario):
        self.number += 1
        return Kubelet(self.node, self.calls, self.number, **scenario.pod)

    def until_death(self, steps, point):
        """Index of the step that has to be begun again, after berthd has died at the point."""
        for index, step in enumerate(steps):
            try:
                step()
            except FAILURES:
                if armed(point) or not self.died(3):
                    raise
                return index
            if not armed(point):  # it died after it had answered
                assert self.died(3), f"{point} was passed and berthd lives"
                return index + 1
        assert not armed(point), f"{point} was not reached"
        return len(steps)

    def in_order(self, kubelet):
        # A dead monitor's containers are UNKNOWN, and their processes are there until the kubelet stops the pod.
        invariants.check(self.node, self.calls, None if kubelet.lost_exit else kubelet.marker, unknown_allowed=kubelet.lost_exit)

    def finish(self, kubelet):
        """The kubelet has removed all; what is there is what was there before."""
        for directory in self.node.logs.iterdir():
            subprocess.run(["rm", "-rf", directory], check=True)
        disarm()
        self.before.assert_nothing_added(snapshot.of_the_node_itself, seconds=6)
        suite.eventually(self.no_descriptor_left, seconds=3)
        Counts.checked += 2

    def open_files(self):
        directory = f"/proc/{self.node.daemon.pid}/fd"
        return sorted(os.readlink(f"{directory}/{fd}") for fd in os.listdir(directory))

    def no_descriptor_left(self):
        now = self.open_files()  # a client's connection or two may come and go
        assert len(now) <= self.descriptors + 2, f"{self.descriptors} descriptors at the start, now {len(now)}: {now}"
        return True

    def kill_at(self, scenario, point):
        kubelet = self.kubelet(scenario)
        steps = scenario.steps(kubelet)
        for name, action in scenario.armed.items():
            arm(name, action)
        arm(point)
        index = self.until_death(steps, point)
        disarm()
        self.start()
        self.go_on(kubelet, steps[index:])

    def go_on(self, kubelet, steps):
        self.in_order(kubelet)
        for step in steps:
            getattr(step, "again", step)()
        self.in_order(kubelet)
        self.finish(kubelet)

    def kill_in_recovery(self, scenario, first, point):
        """berthd dies at `first`, and again at `point` while it puts things right."""
        kubelet = self.kubelet(scenario)
        steps = scenario.steps(kubelet)
        arm(first)
        index = self.until_death(steps, first)
        disarm()
        arm(point)
        self.node.start(wait=False)
        assert self.died(10), f"{point} was not reached by the recovery"
        disarm()
        self.start()
        self.go_on(kubelet, steps[index:])

    def trace_recovery(self, scenario, first):
        kubelet = self.kubelet(scenario)
        steps = scenario.steps(kubelet)
        arm(first)
        index = self.until_death(steps, first)
        disarm()
        self.start()
        names = list(dict.fromkeys(reached()))
        self.go_on(kubelet, steps[index:])
        return names

    def kill_monitor_at(self, scenario, point, daemon_too):
        """The pod's monitor dies at the point, berthd perhaps with it: the pod is told to be not ready, the kubelet stops and
        removes it and makes it anew."""
        kubelet = self.kubelet(scenario)
        arm(point)
        for step in scenario.steps(kubelet):
            try:
                step()
            except FAILURES:
                if armed(point):
                    raise
            if not armed(point):
                break
        assert not armed(point), f"{point} was not reached"
        assert self.node.running(), "berthd died with the monitor"
        Counts.kills += 1
        kubelet.lost_exit = True
        if daemon_too:
            self.restart()
            Counts.kills += 1
        suite.eventually(lambda: all(p["state"] == "SANDBOX_NOTREADY" for p in kubelet.listed_pods()) and "so", seconds=5)
        self.in_order(kubelet)
        for pod in kubelet.listed_pods():
            self.calls("StopPodSandbox", {"pod_sandbox_id": pod["id"]})
            self.calls("RemovePodSandbox", {"pod_sandbox_id": pod["id"]})
        kubelet.lost_exit = False
        self.in_order(kubelet)
        kubelet.config["metadata"]["attempt"] += 1
        self.go_on(kubelet, scenario.steps(kubelet))

    def run(self, name, function, *arguments):
        mark, began = self.node.log_mark(), time.monotonic()
        try:
            function(*arguments)
            self.counter.ok(name, time.monotonic() - began)
        except Exception as error:  # noqa: told, and the next point is tried
            import traceback
            text = "".join(traceback.format_exception(error)[-4:])
            self.counter.fail(name, f"{text[-3500:]}\n--- berthd's log\n{self.node.log_since(mark)}")
            self.recover()

    def recover(self):
        disarm()
        self.restart()
        removed = self.node.crictl("rmp", "-fa", check=False, timeout=60)
        if removed.code != 0:
            print(f"and pods cannot be removed: {removed.text}", flush=True)
        self.node.crictl("rmi", PULLED, check=False)
        for directory in self.node.logs.iterdir():
            subprocess.run(["rm", "-rf", directory], check=True)

    # ------------------------------------------------------------------ all points
    def trace(self, scenario):
        """The points that a scenario comes by, in order."""
        disarm()
        for name, action in scenario.armed.items():
            arm(name, action)
        kubelet = self.kubelet(scenario)
        for step in scenario.steps(kubelet):
            step()
        time.sleep(0.1)
        names = list(dict.fromkeys(reached()))
        self.in_order(kubelet)
        self.finish(kubelet)
        return names

    def every_point(self, scenarios, full, only=()):
        """Each point of berthd in the first scenario that comes by it, each of the monitor's; and those of the recovery."""
        where, monitors = {}, listed("berth-monitor")
        for scenario in scenarios:
            self.run(f"scenario {scenario.name}", lambda: [where.setdefault(n, scenario) for n in self.trace(scenario)])
        again = {}
        for first in ("container.created.before", "pod.ready.before", "container.forget.before", "pod.forget.before"):
            self.run(f"recovery after {first}", lambda: again.setdefault(first, self.trace_recovery(where[first], first)))
        recovery = {name: first for first, found in again.items() for name in found}
        points = listed("berthd")
        never = [p for p in [*points, *monitors] if p not in where and p not in recovery]
        self.run("every fail point is come by", lambda: suite.equal(never, [], "never reached"))

        def wanted(name):
            return not only or any(part in name for part in only)

        for point in filter(wanted, points):
            if point in where:
                Counts.points += 1
                self.run(f"berthd killed at {point} ({where[point].name})", self.kill_at, where[point], point)
            if point in recovery and (full or point not in where):
                first = recovery[point]
                Counts.points += 1
                self.run(f"berthd killed at {first}, then at {point}", self.kill_in_recovery, where[first], first, point)
        for index, point in enumerate(m for m in monitors if wanted(m) and m in where):
            for daemon_too in ((False, True) if full else (index % 2 == 1,)):
                Counts.points += 1
                self.run(f"monitor killed at {point}{', berthd too' if daemon_too else ''}", self.kill_monitor_at,
                         where[point], point, daemon_too)
