# SPDX-License-Identifier: Apache-2.0
"""One runtime in one turn of bench/run: its client's calls, its processor time and memory, and what was measured."""
import json
import pathlib
import subprocess

from support import tools

HOST = "127.0.0.1:5000"
IMAGE = f"{HOST}/bench/sleeper:1"
# Of containers and of the benchmark itself; everything else in the PID namespace is the runtime's.
NOT_THE_RUNTIMES = ("sleep", "spew", "docker-registry", "python3", "run", "berth-bench")


def mem_available():
    for line in open("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/meminfo: no MemAvailable")


def pss_by_name(daemon_pid):
    """PSS in MiB: of the daemon, and of every other process by name that is neither a container's nor the benchmark's."""
    found = {"daemon": 0}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name = (entry / "comm").read_text().strip()
            lines = (entry / "smaps_rollup").read_text().splitlines()
        except (OSError, ProcessLookupError):
            continue
        if int(entry.name) == daemon_pid:
            name = "daemon"
        elif name in NOT_THE_RUNTIMES:
            continue
        found[name] = found.get(name, 0) + sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return found


class Session:
    """`label` names the network of its pods: "reference" (CNI plugins) or "own" (Berth's)."""
    image = IMAGE
    restartable = True  # what is only a socket is neither started again nor looked into

    def __init__(self, daemon, work, options, label):
        self.daemon, self.options, self.label = daemon, options, label
        self.sizes = options.sizes
        self.logs = work / "logs"
        self.samples, self.figures = {}, {}

    def client(self, *arguments):
        return json.loads(self.run(*arguments).communicate_checked())

    def run(self, *arguments):
        return Client(self.daemon, [tools.berth_binary("berth-bench"), self.daemon.socket, *map(str, arguments)])

    def pods(self, command, *arguments, network="pod", name="pod"):
        return [command, self.image, f"{self.daemon.group.name}/pods", self.logs, network, name, *arguments]

    def add(self, label, samples):
        for step, values in samples.items():
            self.samples.setdefault(f"{label}: {step}", []).extend(values)

    def figure(self, name, value):
        self.figures.setdefault(name, []).append(value)

    def seconds(self):
        return self.daemon.group.seconds()

    def own_seconds(self):
        """Without the containers: the daemon, its monitors or shims, and what they run."""
        return self.daemon.group.own_seconds()

    def memory(self):
        return pss_by_name(self.daemon.process.pid)

    def result(self):
        return {"samples": self.samples, "figures": self.figures}


class Client(subprocess.Popen):
    """berth-bench; what it says, or the end of the run with the daemon's last words."""

    def __init__(self, daemon, command):
        super().__init__(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._daemon = daemon

    def communicate_checked(self):
        out, err = self.communicate()
        if self.returncode != 0:
            raise SystemExit(f"{self._daemon.name}: {' '.join(map(str, self.args[2:]))}: {err}\n{self._daemon.last_words()}")
        return out
