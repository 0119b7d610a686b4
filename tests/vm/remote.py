# SPDX-License-Identifier: Apache-2.0
"""The virtual machine as a node of tests/kubernetes: what a test asks of its node goes through the machine's agent."""
import base64
import collections
import datetime
import pathlib

from support import environment
from support.node import Node

WORK = pathlib.Path("/var/tmp/berth-vm")  # as in guest.py
SECONDS = 60

Answer = collections.namedtuple("Answer", "code out err")  # the agent does not tell the two streams apart


class RemoteFiles:
    """As tests/kubernetes/node_files.py, in the machine."""

    def __init__(self, vm):
        self.vm = vm

    def read(self, path):
        return self.vm.run("cat", path, seconds=SECONDS).out

    def write(self, path, text):
        data = base64.b64encode(text.encode()).decode()
        script = 'mkdir -p "${0%/*}" && echo "$1" | base64 -d > "${0%/*}/.part" && mv "${0%/*}/.part" "$0"'  # whole, or not there
        self.vm.run("sh", "-c", script, path, data, seconds=SECONDS)

    def directory(self, path):
        self.vm.run("mkdir", "-p", path, seconds=SECONDS)

    def remove(self, path):
        self.vm.run("rm", path, seconds=SECONDS)

    def empty(self, path):
        self.vm.run("find", path, "-mindepth", "1", "-delete", seconds=SECONDS)

    def owner(self, path):
        return int(self.vm.run("stat", "-c", "%u", path, seconds=SECONDS).out)

    def now(self):
        return datetime.datetime.fromtimestamp(float(self.vm.run("date", "+%s.%N", seconds=SECONDS).out), datetime.timezone.utc)


class RemoteNode(Node):
    """berth.service in the machine, as guest.UnitNode has configured it."""

    def __init__(self, vm):  # nothing of Node's own: its directories are in the machine
        self.vm = vm
        self.root, self.state = pathlib.Path("/var/lib/berth"), pathlib.Path("/run/berth")
        self.socket = f"unix://{self.state}/berth.sock"

    def command(self, *arguments):
        return ["/payload/.cache/bin/crictl", "--config", str(WORK / "crictl.yaml"), *map(str, arguments)]

    def crictl(self, *arguments, check=True, timeout=60):
        done = self.vm.run(*self.command(*arguments), seconds=timeout * environment.PATIENCE, ok=check)
        return Answer(done.code, done.out, "")

    def start(self, wait=True, prefix=()):
        self.vm.run("systemctl", "start", "berth.service", seconds=SECONDS * environment.PATIENCE)

    def kill(self):
        self.vm.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", "berth.service")  # systemd starts it again

    def running(self):
        return self.vm.run("systemctl", "is-active", "berth.service", ok=False).out.strip() == "active"

    def log_mark(self):
        return float(self.vm.run("date", "+%s.%N").out)

    def log_since(self, mark):
        return self.vm.run("journalctl", "-u", "berth.service", "--no-pager", "-o", "cat", "-n", "60", "--since", f"@{mark:.3f}", ok=False,
                           seconds=SECONDS * environment.PATIENCE).out
