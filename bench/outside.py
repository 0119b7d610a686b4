# SPDX-License-Identifier: Apache-2.0
"""A peer that is only a socket: whoever runs it, it is outside of the namespaces that bench/run makes. A process that is
forked before them runs the client there and looks at the peer's processor time and memory."""
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile

from support import tools
import runtimes
from session import Session

HELPERS = re.compile(r"shim|conmon|pause|monitor")  # names of a runtime's processes that are there for pods


def _group_of(pid):
    """Where its CPU is counted; nothing: in the machine's own group."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if path != "/" and (number == "0" or "cpuacct" in controllers.split(",")):
            return runtimes.CPU / path[1:]
    return None


def _cpu(pid):
    """Its group's; without one its own and that of the children it has waited for."""
    group = _group_of(pid)
    if group:
        return runtimes.cpu_seconds(group)
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory(pid):
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            name = "daemon" if entry.name == str(pid) else (entry / "comm").read_text().strip() if entry.name.isdigit() else ""
            if name == "daemon" or HELPERS.search(name):
                pss = [line for line in (entry / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:")]
                found[name] = found.get(name, 0) + int(pss[0].split()[1]) / 1024
        except (OSError, IndexError):
            continue
    return found


class Outside:
    """The forked process: requests and answers are lines of JSON; it ends with its socket."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(endpoint.removeprefix("unix://"))
            self.pid = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            self._serve(theirs.makefile("rw"))
            os._exit(0)
        theirs.close()
        self._file = ours.makefile("rw")

    def _serve(self, file):
        for line in file:
            what, *arguments = json.loads(line)
            if what == "client":
                done = subprocess.run([tools.berth_binary("berth-bench"), self.endpoint, *arguments], capture_output=True, text=True)
                answer = [done.returncode, done.stdout, done.stderr]
            elif what == "version":
                done = subprocess.run([tools.crictl(), "--runtime-endpoint", self.endpoint, "version"], capture_output=True, text=True)
                answer = " ".join(re.findall(r"Runtime(?:Name|Version): +(.*)", done.stdout))
            else:
                answer = _cpu(self.pid) if what == "cpu" else _memory(self.pid)
            file.write(json.dumps(answer) + "\n")
            file.flush()

    def ask(self, *request):
        self._file.write(json.dumps(list(map(str, request))) + "\n")
        self._file.flush()
        return json.loads(self._file.readline())

    def version(self):
        return self.ask("version")


class SocketSession(Session):
    restartable = False

    def __init__(self, work, options):
        self.outside, self.image = options.outside, options.peer_image
        self.group = runtimes.Group("peer", sampled=False)
        super().__init__(None, work, options, "reference")
        self.logs = tempfile.mkdtemp(prefix="berth-bench-", dir="/var/tmp")  # a place that both sides have

    def client(self, *arguments):
        code, out, error = self.outside.ask("client", *arguments)
        if code != 0:
            raise SystemExit(f"peer: {' '.join(map(str, arguments))}: {error}")
        return json.loads(out)

    def pods(self, command, *arguments, network="pod", name="pod"):
        return [command, self.image, f"{self.group.name}/pods", self.logs, network, name, *arguments]

    def seconds(self):
        return self.outside.ask("cpu") + self.group.seconds()

    def own_seconds(self):
        return self.outside.ask("cpu")

    def memory(self):
        return self.outside.ask("memory")

    def close(self):
        self.group.close()
        shutil.rmtree(self.logs)
