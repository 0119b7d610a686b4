# SPDX-License-Identifier: Apache-2.0
"""What is on the machine, as sets of lines, so that two moments can be compared exactly."""
import os
import pathlib
import re
import subprocess
import time

from . import environment

from . import environment


def _lines(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.splitlines()


def mounts():
    found = set()
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        found.add(f"{fields[4]} {line.partition(' - ')[2]}")
    return found


def cgroups():
    """Those of every hierarchy's first level, and all below the suite's own. Further down in others' groups is others' business:
    nothing here names one as a cgroup_parent, and a service manager or another run may make and remove groups at any time."""
    found, own = set(), environment.cgroup_parent()[1:]
    for hierarchy in os.scandir("/sys/fs/cgroup"):
        if not hierarchy.is_dir(follow_symlinks=False):
            continue
        for entry in [hierarchy, *os.scandir(hierarchy)]:  # with version 2 alone the first level is hierarchy itself
            if not entry.is_dir(follow_symlinks=False) or re.match(r"\w*berth", entry.name) and entry.name != own:
                continue
            found.add(entry.path)
            if entry.name == own:
                for top, directories, _ in os.walk(entry.path):
                    found.update(os.path.join(top, name) for name in directories)
    return found | below_unified(own)


def below_unified(own):
    """What lies in the host's tmpfs below a cgroup2 beside version 1: an OCI runtime that does not see the mount writes there."""
    unified = "/sys/fs/cgroup/unified"
    if not os.path.ismount(unified):
        return set()
    return {f"below the mount: {line}" for line in _lines(["unshare", "-m", "sh", "-c", f"umount {unified} && find {unified}/{own}"])}


def links():
    return {re.sub(r"^\d+: ", "", line.split(" <")[0]) for line in _lines(["ip", "-o", "link"])}


_COUNTERS = re.compile(r"\[\d+:\d+\]")


def rules():
    """Both flavours of iptables and all of nftables, without counters, handles and comments of the tools."""
    found = set()
    for command in (["iptables-save"], ["ip6tables-save"]):
        table = ""
        for line in _lines(command):
            if line.startswith("*"):
                table = line
            elif line and not line.startswith("#"):
                found.add(f"{command[0]} {table} {_COUNTERS.sub('', line).strip()}")
    path = []
    for line in _lines(["nft", "list", "ruleset"]):
        text = re.sub(r"counter packets \d+ bytes \d+", "counter", line.strip())
        if text.endswith("{"):
            path.append(text)
        elif text == "}":
            path.pop()
        elif text:
            found.add(" / ".join(["nft", *path, text]))
    return found


def routes():
    return set(_lines(["ip", "-o", "route", "show", "table", "all"]) + _lines(["ip", "-o", "-6", "rule"]))


def processes():
    """Every process of this PID namespace but the asking one's own children."""
    found = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            name = pathlib.Path(f"/proc/{entry}/comm").read_text().strip()
        except OSError:
            continue
        found.add(f"{entry} {name} {command[:200]}".strip())
    return found


# SQLite's own files beside a database come and go.
_COMES_AND_GOES = re.compile(r"(-wal|-shm|-journal)$")


def files(directories):
    found = set()
    for directory in directories:
        for top, names, leaves in os.walk(directory):
            found.update(os.path.join(top, name) for name in [*names, *leaves] if not _COMES_AND_GOES.search(name))
    return found


class Snapshot:
    def __init__(self, directories):
        self.directories = directories
        self.values = {"mount": mounts(), "cgroup": cgroups(), "link": links(), "rule": rules(), "route": routes(),
                       "process": processes(), "file": files(directories)}

    def added(self, ignore=None):
        """What is there now and was not then."""
        now = Snapshot(self.directories)
        found = []
        for kind, values in now.values.items():
            found += [f"{kind}: {value}" for value in sorted(values - self.values[kind])
                      if not (ignore and ignore(kind, value))]
        return found

    def assert_nothing_added(self, ignore=None, seconds=4):
        """A process may take a moment to end and a namespace to be taken down; nothing may stay."""
        end = time.monotonic() + seconds
        while True:
            found = self.added(ignore)
            if not found:
                return
            if time.monotonic() > end:
                for line in found:  # told once; the next test shall tell its own
                    kind, _, value = line.partition(": ")
                    self.values[kind].add(value)
                raise AssertionError("left behind:\n  " + "\n  ".join(found))
            time.sleep(0.1)


def _parent_name(pid):
    try:
        parent = re.search(r"^PPid:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1)
        return pathlib.Path(f"/proc/{parent}/comm").read_text().strip()
    except OSError:
        return ""


def of_the_node_itself(kind, value):
    """No pod's: another berthd process after a restart, and its berth-stream, but not one that its berthd has left."""
    return kind == "process" and ("/berthd --config" in value or
                                  " berth-stream " in value and _parent_name(value.split()[0]) == "berthd")
