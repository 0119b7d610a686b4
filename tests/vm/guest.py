# SPDX-License-Identifier: Apache-2.0
"""Inside the virtual machine: the node under test is berth.service, started and ended by systemd."""
import os
import pathlib
import shutil
import subprocess
import time
import tomllib

os.environ.setdefault("BERTH_TEST_PATIENCE", "5")  # emulation, with other things to do beside it

from support import environment

os.environ.setdefault(environment.INSIDE, "vm")

from support import registry
from support.node import Node

WORK = pathlib.Path("/var/tmp/berth-vm")
CONFIG = pathlib.Path("/etc/berth/config.toml")
REGISTRY = "127.0.0.1:5000"
HOSTS = ("registry.k8s.io", "k8s.gcr.io", "gcr.io")


def run(*command, check=True):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout.strip()


def show(unit, name):
    return run("systemctl", "show", "--value", "-p", name, unit)


class MainProcess:
    @property
    def pid(self):
        return int(show("berth.service", "MainPID"))


def installed_driver():
    return tomllib.loads(CONFIG.read_text())["runtime"]["cgroup_driver"] if CONFIG.exists() else "auto"


class UnitNode(Node):
    """The surroundings are those of support.node.Node; only how berthd is started differs."""

    def __init__(self, driver=None):
        super().__init__(WORK, "/var/lib/berth", "/run/berth", {"runtime": {"cgroup_driver": driver or installed_driver()}})
        self.daemon = MainProcess()

    def install_config(self):
        """Where berth.service looks for it."""
        for host in HOSTS:
            registry.write_hosts(self.certs, host, f"http://{REGISTRY}")
        CONFIG.parent.mkdir(exist_ok=True)
        shutil.copy(self.config, CONFIG)

    def start(self, wait=True, prefix=()):
        self.install_config()
        run("systemctl", "start", "berth.service")  # Type=notify: returns when berthd serves

    def stop_daemon(self, seconds=60):
        run("systemctl", "stop", "berth.service")
        return int(show("berth.service", "ExecMainStatus"))

    def kill(self):
        run("systemctl", "kill", "-s", "KILL", "--kill-who=main", "berth.service")  # not its monitors

    def running(self):
        return run("systemctl", "is-active", "berth.service", check=False) == "active"

    def restart(self):
        self.install_config()
        run("systemctl", "restart", "berth.service")

    def log_mark(self):
        return time.time()

    def log_since(self, mark):
        text = run("journalctl", "-u", "berth.service", "--no-pager", "-o", "cat", "--since", f"@{mark:.3f}", check=False)
        return "\n".join(text.splitlines()[-60:])


def group_of(pid):
    """The process's control group below /sys/fs/cgroup; version 2 has one line."""
    text = pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip()
    assert text.startswith("0::/") and "\n" not in text, f"not cgroup v2 alone: {text}"
    return pathlib.Path("/sys/fs/cgroup") / text.removeprefix("0::/")


def scope_of(pid):
    """The group of the container's unit: its init's own, or the one above that."""
    group = group_of(pid)
    return next(path for path in (group, *group.parents) if path.name.endswith(".scope"))
