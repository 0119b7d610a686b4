#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many calls in a row, and what each Berth process and the node have before and after: nothing may grow.
run.py [PODS [EXECS [LISTS]]]; 1000, 10000 and 24000. Takes half an hour; not a part of CI."""
import os
import pathlib
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, oci, registry, snapshot, suite, tools
from support.node import IMAGE, SLEEP, Node, children_of_nobody

PARTS = 4  # each kind of call is made in so many parts; figures are taken between them
MEMORY_KIB = 2048  # what a process may have more after the second half than after the first: allocators' noise
BERTH = ("berthd", "berth-monitor", "berth-stream", "berth-fetch", "berth-unpack", "berth-cni")


def processes():
    """Of every Berth process: its name and number."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name = (entry / "comm").read_text().strip()
            except OSError:
                continue
            if name in BERTH:
                found[int(entry.name)] = name
    return found


def figures():
    found = {}
    for pid, name in processes().items():
        proc = pathlib.Path(f"/proc/{pid}")
        try:
            rollup = (proc / "smaps_rollup").read_text()
            found[f"{name} {pid}"] = {
                "fds": len(os.listdir(proc / "fd")), "threads": len(os.listdir(proc / "task")),
                "RSS KiB": int(re.search(r"^Rss:\s*(\d+)", rollup, re.M).group(1)),
                "anonymous KiB": int(re.search(r"^Anonymous:\s*(\d+)", rollup, re.M).group(1)),
            }
        except (OSError, AttributeError):  # it has ended meanwhile
            continue
    found["node"] = {
        "mounts": len(snapshot.mounts()), "cgroups": len(snapshot.cgroups()), "netns": len(os.listdir("/run/netns")),
        "links": len(snapshot.links()), "rules": len(snapshot.rules()), "processes": len(snapshot.processes()),
        "zombies": len(children_of_nobody()),
    }
    return found


def settled(like=None):
    """Pools let go of idle threads after 30 s; one with another number is waited for, for a while."""
    end = time.monotonic() + 45
    while True:
        now = figures()
        if like is None and time.monotonic() > end - 10 or like is not None and not grown(like, now):
            return now
        if time.monotonic() > end:
            return now
        time.sleep(1)


def grown(before, after):
    """What `after` has more of, a line each."""
    lines = [f"{key} is new" for key in after if key not in before]
    for key, values in after.items():
        for what, now in values.items():
            then = before.get(key, {}).get(what, now)
            allowed = MEMORY_KIB if what.endswith("KiB") else 2 if what == "threads" else 0
            if now > then + allowed:
                lines.append(f"{key}: {what} {then} -> {now}")
    return lines


def show(title, values):
    parts = [f"{key}: " + ", ".join(f"{what} {value}" for what, value in entries.items()) for key, entries in sorted(values.items())]
    print(f"       {title}\n         " + "\n         ".join(parts), flush=True)


def soak(node, counter, kind, total, *arguments):
    """In parts: the first is for what is made once; from there to the end nothing may grow."""
    def run(count):
        done = subprocess.run([tools.berth_binary("berth-races"), node.socket, IMAGE, node.logs, kind, *arguments, str(count)],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        subprocess.run(f"rm -rf {node.logs}/soak-*", shell=True, check=True)

    name, began = f"{total} {kind}", time.monotonic()
    try:
        before = None
        for part in range(PARTS):
            run(total // PARTS)
            now = settled(before)
            before = before or now
            show(f"after {total // PARTS * (part + 1)} {kind}, {time.monotonic() - began:.0f} s", now)
        lines = grown(before, now)
        assert not lines, "\n".join(lines)
        counter.ok(name, time.monotonic() - began)
    except AssertionError as error:
        counter.fail(name, str(error))


def main():
    pods, execs, lists = (int(sys.argv[n]) if len(sys.argv) > n else default for n, default in ((1, 1000), (2, 10_000), (3, 24_000)))
    images = registry.Registry(environment.WORK, environment.STORE / "registry", 5000)
    oci.Push(images.host).image("test/busybox", "1", oci.Image([oci.busybox_tree().bytes()], {"Env": [oci.PATH]}))
    node = Node(environment.WORK / "node", environment.STORE / "root", "/run/berth", {"": {"log_level": "warning"}})
    node.start()
    node.crictl("pull", IMAGE)
    counter = suite.Counter()
    with node.pod() as pod:  # its monitor is looked at as well
        container = pod.run(SLEEP)
        show("at the start", settled())
        soak(node, counter, "pods", pods)
        soak(node, counter, "execs", execs, container.id)
        soak(node, counter, "lists", lists)
    node.close()
    images.close()
    return counter.finish()


if __name__ == "__main__":
    tools.crictl()
    for name in ("berthd", "berth-races"):
        tools.berth_binary(name)
    environment.run_isolated(main, seconds=3 * 3600)
