#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What lists of statistics cost with many containers, through the socket of a berthd of its own.   stats.py [PODS [CALLS]]

One container a pod, each asleep. For each call: the time that a client waits, CPU time of berthd, system calls of one more.
docs/decisions/0012-statistics.md has figures."""
import collections
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS / "integration"), str(TESTS)]

from support import environment, registry, tools, trace
from support.node import Node

LISTS = ["ListContainerStats", "ListPodSandboxStats", "ListPodSandboxMetrics"]


def number(position, default):
    return int(sys.argv[position]) if len(sys.argv) > position else default


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(node, client, call, times):
    def ask(count):
        return subprocess.run([client, f"{node.state}/berth.sock", "time", call, str(count)], capture_output=True, text=True,
                              check=True).stdout.strip()
    ask(1)  # what is opened once is open
    before = cpu_seconds(node.daemon.pid)
    said = ask(times)
    cpu = 1e6 * (cpu_seconds(node.daemon.pid) - before) / times
    calls = trace.calls_during(node, lambda: ask(1), [*trace.OPENS, "pread64", "read", "sendto", "getdents64"])
    counted = collections.Counter("opens" if name in trace.OPENS else name for name, _ in calls)
    print(f"{said}, {cpu:.0f} us of CPU; system calls of one more: {counted['opens']} opens, {counted['pread64']} pread, "
          f"{len(calls)} of all that were counted", flush=True)


def main():
    from images import HTTPS, Images
    work = environment.WORK
    images = Images(work)
    images.start_https(work)
    node = Node(work / "node", environment.STORE / "root", "/run/berth")
    registry.write_hosts(node.certs, HTTPS, f"https://{HTTPS}", ca=images.authority)
    node.start()
    node.crictl("pull", "127.0.0.1:5000/test/busybox:1")
    client = tools.go_program("cri_v1")
    pods = number(1, 50)
    for _ in range(pods):
        node.pod().run()
    print(f"{pods} pods with a container each; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
    for call in LISTS:
        report(node, client, call, number(2, 200))
    node.crictl("rmp", "-fa", timeout=300)
    node.close()
    images.close()


if __name__ == "__main__":
    tools.crictl()
    tools.berth_binary("berthd")
    environment.run_isolated(main)
