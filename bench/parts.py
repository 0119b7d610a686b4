# SPDX-License-Identifier: Apache-2.0
"""The parts of bench/run, in their order: each measures one thing of a session and leaves the node as it found it.
Their rows in the table are in report.py. `pods` parts run once for each network, the others once for a turn."""
import dataclasses
import time

import session as sessions

PARALLEL = 10


@dataclasses.dataclass
class Sizes:
    """What the titles of the rows say; `--small` has other ones, to see in a minute or two that every row works."""
    pods: int = 50
    fewer: int = 30  # pods of the second restart
    many_pods: int = 200
    containers: int = 500
    idle_s: int = 20
    poll_s: int = 60
    restarts: int = 3


SMALL = Sizes(4, 2, 6, 10, 3, 11, 1)


def serial(s, network):
    """Pods one after the other: made, started, stopped, removed."""
    label = s.label if network == "pod" else "host"
    s.client(*s.pods("serial", 2, network=network, name="warm"))  # bridge and tables, page cache
    before, own = s.seconds(), s.own_seconds()
    s.add(label, s.client(*s.pods("serial", s.options.count, network=network)))
    s.figure(f"{label}: CPU s per pod", (s.seconds() - before) / s.options.count)
    s.figure(f"{label}: own CPU s per pod", (s.own_seconds() - own) / s.options.count)


def parallel(s, network):
    """50 pods, 10 at a time."""
    label = f"{s.label if network == 'pod' else 'host'}, parallel"
    before = s.seconds()
    s.add(label, s.client(*s.pods("start", s.sizes.pods, PARALLEL, network=network)))
    s.figure(f"{label}: CPU s per start", (s.seconds() - before) / s.sizes.pods)
    s.add(f"{label}, removed", s.client("remove", s.sizes.pods, PARALLEL))


def start_pods(s, count, name="pod"):
    s.client(*s.pods("start", count, PARALLEL, name=name))


def calls(s):
    """Exec, status, lists with 50 containers, each in a pod of its own."""
    start_pods(s, s.sizes.pods)
    before = s.seconds()
    s.add("50", s.client("exec", 100))
    s.figure("ExecSync CPU ms", 10 * (s.seconds() - before))
    s.add("50", s.client("status", 200))
    s.add("50", s.client("lists", 200, 40))
    s.client("remove", s.sizes.pods, PARALLEL)


def idle(s):
    """CPU of a quiet node, then of one that a kubelet looks at for a minute."""
    start_pods(s, s.sizes.pods)
    time.sleep(3)
    before = s.seconds()
    time.sleep(s.sizes.idle_s)
    s.figure("idle CPU %, 50 pods", 100 * (s.seconds() - before) / s.sizes.idle_s)
    before = s.seconds()
    s.client("poll", s.sizes.poll_s)
    s.figure("polled CPU %, 50 pods", 100 * (s.seconds() - before) / s.sizes.poll_s)
    s.client("remove", s.sizes.pods, PARALLEL)


def memory(s):
    """A daemon that has served nothing, then with 50 and with 200 pods; then 500 containers, and their lists."""
    if s.restartable:
        s.daemon.again()
    time.sleep(1)
    empty, available = s.memory(), sessions.mem_available()
    s.figure("daemon PSS MiB, 0 pods", empty["daemon"])
    there = 0
    for title, pods in ((50, s.sizes.pods), (200, s.sizes.many_pods)):
        start_pods(s, pods - there, name=f"m{title}-")
        there = pods
        time.sleep(1)
        now = s.memory()
        others = sum(now.values()) - now["daemon"] - sum(empty.values()) + empty["daemon"]
        s.figure(f"daemon PSS MiB, {title} pods", now["daemon"])
        s.figure(f"helpers PSS MiB per pod, {title} pods", others / pods)
        s.figure(f"MemAvailable MiB per pod, {title} pods", (available - sessions.mem_available()) / pods)
        s.figure(f"processes, {title} pods", now)
    s.client(*s.pods("more", s.sizes.containers - s.sizes.many_pods, PARALLEL, name="more"))
    s.add("500", s.client("status", 100))
    s.add("500", s.client("lists", 50, 5))
    s.client("remove", s.sizes.many_pods, PARALLEL)


def restart(s):
    """kill -9 with 50 and with 30 pods, start, the first answer that knows them."""
    if not s.restartable:
        return
    start_pods(s, s.sizes.pods)
    there = s.sizes.pods
    for title, pods in ((50, s.sizes.pods), (30, s.sizes.fewer)):
        if pods < there:
            s.client("remove", there - pods, PARALLEL)
            there = pods
        for _ in range(s.sizes.restarts):
            s.daemon.kill()
            time.sleep(0.5)
            waiting = s.run("first-answer", pods)
            time.sleep(0.2)
            began = time.monotonic_ns()
            s.daemon.spawn()
            s.add(f"restart, {title}", {"first answer": [(int(waiting.communicate_checked()) - began) / 1e6]})
            time.sleep(1)
    s.client("remove", there, PARALLEL)


def log(s):
    """Lines of 100 bytes as fast as a container writes them, into a log file on the tmpfs of /run."""
    s.client(*s.pods("log", 20, network="host", name="log-warm"))
    for number in range(3):
        before = s.own_seconds()
        took = s.client(*s.pods("log", s.options.log_mb, network="host", name=f"log{number}"))["log"][0]
        s.figure("log MB/s", s.options.log_mb / took * 1000)
        # What starting and removing that one container took is in it: 0.05 to 0.3 s.
        s.figure("log CPU s per GB", (s.own_seconds() - before) / s.options.log_mb * 1000)


# name -> (function, once for each network)
PARTS = {"serial": (serial, True), "parallel": (parallel, True), "calls": (calls, False), "idle": (idle, False),
         "restart": (restart, False), "memory": (memory, False), "log": (log, False)}


def run_pods(s, networks):
    for name, (part, each_network) in PARTS.items():
        if each_network and name in s.options.parts:
            for network in networks:
                part(s, network)


def run_others(s):
    for name, (part, each_network) in PARTS.items():
        if not each_network and name in s.options.parts:
            part(s)
