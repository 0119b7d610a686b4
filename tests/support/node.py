# SPDX-License-Identifier: Apache-2.0
"""A node under test: one berthd with directories of its own, and crictl to drive it."""
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from . import environment, tools

PLUGINS = os.environ.get("BERTH_TEST_PLUGINS", "berth")  # "reference": those of Debian
POD, CONTAINER, NODE, TARGET = 0, 1, 2, 3  # CRI NamespaceMode
RUNTIME_DEFAULT, UNCONFINED, LOCALHOST = {"profile_type": 0}, {"profile_type": 1}, 2
IMAGE = "127.0.0.1:5000/test/busybox:1"
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"]


class Failed(AssertionError):
    """A command of crictl's that should have worked."""


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def text(self):
        return self.out + self.err


class Node:
    def __init__(self, work, root, state, options=None, fragment=""):
        self.work, self.root, self.state = map(pathlib.Path, (work, root, state))
        self.work.mkdir(parents=True, exist_ok=True)
        self.logs = self.work / "pod-logs"
        self.certs, self.cni = self.work / "certs.d", self.work / "cni"
        self.cdi = self.work / "cdi"
        for directory in (self.logs, self.certs, self.cni, self.cdi / "low", self.cdi / "high"):
            directory.mkdir(parents=True, exist_ok=True)
        self.socket = f"unix://{self.state}/berth.sock"
        self.config = self.work / "config.toml"
        self.daemon = None
        self.log = self.work / "berthd.log"
        self._number = itertools.count(1)
        self._crictl = tools.crictl()
        self._options = options or {}
        self.write_config({}, fragment)
        (self.work / "crictl.yaml").write_text(f"runtime-endpoint: {self.socket}\nimage-endpoint: {self.socket}\ntimeout: {20 * environment.PATIENCE:.0f}\n")

    # ------------------------------------------------------------------ daemon
    def write_config(self, options, fragment=""):
        """`options`: section -> {key: value}, beside those that the node was made with."""
        values = {"": {"root": str(self.root), "state": str(self.state), "listen": self.socket, "log_level": "debug"},
                  "runtime": {"cgroup_driver": "cgroupfs", "cgroup_parent": environment.cgroup_parent(),
                              "cdi_spec_dirs": [str(self.cdi / "low"), str(self.cdi / "high")]},
                  "network": {"conf_dirs": [str(self.cni)], "native_plugins": PLUGINS != "reference"},
                  "image": {"certs_dirs": [str(self.certs)]}}
        for section, entries in [*self._options.items(), *options.items()]:
            values.setdefault(section, {}).update(entries)
        lines = []
        for section, entries in values.items():
            lines += [f"[{section}]"] if section else []
            lines += [f"{key} = {json.dumps(value)}" for key, value in entries.items()]
        self.config.write_text("\n".join(lines) + "\n" + fragment)

    @contextlib.contextmanager
    def configured(self, options, prefix=()):
        """Runs with more in its configuration until the end, started by `prefix` (env, for example)."""
        self.write_config(options)
        self.stop_daemon()
        self.start(prefix=prefix)
        try:
            yield
        finally:
            self.write_config({})
            if self.running():
                self.stop_daemon()
            self.start()

    def start(self, wait=True, prefix=()):
        with open(self.log, "ab") as log:
            self.daemon = subprocess.Popen([*prefix, tools.berth_binary("berthd"), "--config", self.config], stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=20):
        end = time.monotonic() + seconds * environment.PATIENCE
        while time.monotonic() < end:
            if self.daemon.poll() is not None:
                raise AssertionError(f"berthd ended with {self.daemon.returncode} at its start:\n{self.log_since(0)[-4000:]}")
            if self.crictl("version", check=False).code == 0:
                return
            time.sleep(0.03)
        raise AssertionError(f"berthd is not ready after {seconds} s:\n{self.log_since(0)[-4000:]}")

    def kill(self):
        """As the kernel would: no chance to do anything."""
        self.daemon.kill()
        self.daemon.wait()

    def stop_daemon(self, seconds=20):
        """SIGTERM; the exit code."""
        self.daemon.send_signal(signal.SIGTERM)
        try:
            return self.daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"berthd did not end within {seconds} s of SIGTERM")

    def running(self):
        return self.daemon is not None and self.daemon.poll() is None

    def restart(self):
        if self.running():
            self.kill()
        self.start()

    def log_mark(self):
        return self.log.stat().st_size if self.log.exists() else 0

    def log_since(self, mark):
        if not self.log.exists():
            return ""
        with open(self.log, "rb") as file:
            file.seek(mark)
            text = file.read().decode(errors="replace")
        lines = text.splitlines()
        return "\n".join(lines[-60:])

    # ------------------------------------------------------------------ crictl
    def command(self, *arguments):
        return [str(self._crictl), "--config", str(self.work / "crictl.yaml"), *map(str, arguments)]

    def crictl(self, *arguments, check=True, timeout=60):
        result = Result(subprocess.run(self.command(*arguments), capture_output=True, text=True, errors="replace",
                                       timeout=timeout * environment.PATIENCE, stdin=subprocess.DEVNULL))
        if check and result.code != 0:
            raise Failed(f"crictl {' '.join(map(str, arguments))}: exit code {result.code}\n{result.text}")
        return result

    def refused(self, *arguments, code, parts=(), timeout=60):
        """The command must fail with this gRPC code, and each part must stand in its message."""
        result = self.crictl(*arguments, check=False, timeout=timeout)
        what = f"crictl {' '.join(map(str, arguments))}: {result.text}"
        assert result.code != 0, f"worked, but must not: {what}"
        assert f"code = {code}" in result.text, f"no gRPC code {code}: {what}"
        for part in [parts] if isinstance(parts, str) else parts:
            assert part in result.text, f"{part!r} is not in: {what}"
        return result

    def json(self, *arguments):
        return json.loads(self.crictl(*arguments).out)

    def berth(self, *arguments, check=True, timeout=60):
        result = Result(subprocess.run([tools.berth_binary("berth"), "--endpoint", self.socket, "--state", self.state,
                                        *map(str, arguments)], capture_output=True, text=True,
                                       timeout=timeout * environment.PATIENCE))
        if check and result.code != 0:
            raise Failed(f"berth {' '.join(map(str, arguments))}: exit code {result.code}\n{result.text}")
        return result

    # ------------------------------------------------------------------ pods and containers
    def file(self, value):
        path = self.work / f"config-{next(self._number)}.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    def pod_config(self, name=None, namespaces=None, security=None, linux=None, **fields):
        name = name or f"pod-{next(self._number)}"
        context = {"namespace_options": {"pid": CONTAINER, **(namespaces or {})}, **(security or {})}
        return {"metadata": {"name": name, "namespace": "test", "uid": f"uid-{name}", "attempt": 0},
                "log_directory": str(self.logs / name), "linux": {"security_context": context, **(linux or {})}, **fields}

    def container_config(self, command=None, name="main", image=IMAGE, security=None, linux=None, **fields):
        config = {"metadata": {"name": name, "attempt": 0}, "image": {"image": image}, "log_path": f"{name}.log"}
        if command is not None:
            config["command"] = [command] if isinstance(command, str) else command
        context = {"namespace_options": {"pid": CONTAINER}, **(security or {})}
        config["linux"] = {"security_context": context, **(linux or {})}
        return {**config, **fields}

    def pod(self, handler=None, **fields):
        return Pod(self, self.pod_config(**fields), handler)

    def ids(self, *arguments):
        return self.crictl(*arguments, "-q").out.split()

    def recover(self):
        """After a failed test: whatever it left goes, with force."""
        if not self.running():
            self.start()
        if self.crictl("rmp", "-fa", check=False, timeout=40).code != 0:
            self.restart()
            self.crictl("rmp", "-fa", check=False, timeout=40)

    def close(self):
        if self.running():
            self.stop_daemon()


class Pod:
    """A pod that runs. As a context manager it is removed at the end, which must work."""

    def __init__(self, node, config, handler=None):
        self.node, self.config = node, config
        self.path = node.file(config)
        self.handler = ["-r", handler] if handler else []
        self.id = node.crictl("runp", *self.handler, self.path).out.strip()
        self.log_directory = pathlib.Path(config["log_directory"])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.node.crictl("rmp", "-f", self.id, check=kind is None)
        shutil.rmtree(self.log_directory, ignore_errors=True)

    def create(self, command=None, **fields):
        namespaces = self.config["linux"]["security_context"]["namespace_options"]
        fields["security"] = {"namespace_options": namespaces, **(fields.get("security") or {})}
        config = self.node.container_config(command, **fields)
        return self.node.crictl("create", self.id, self.node.file(config), self.path).out.strip()

    def run(self, command=SLEEP, **fields):
        container = Container(self, self.create(command, **fields), fields.get("name", "main"))
        container.start()
        return container

    def status(self):
        return self.node.json("inspectp", self.id)["status"]

    def ip(self):
        return self.status()["network"]["ip"]


class Container:
    def __init__(self, pod, identifier, name):
        self.pod, self.node, self.id = pod, pod.node, identifier
        self.log_path = pod.log_directory / f"{name}.log"

    def start(self):
        self.node.crictl("start", self.id)

    def inspect(self):
        return self.node.json("inspect", self.id)

    def status(self):
        return self.inspect()["status"]

    def state(self):
        return self.status()["state"].removeprefix("CONTAINER_")

    def exec(self, *command, check=True, timeout=None):
        options = ["--timeout", str(timeout)] if timeout else []
        return self.node.crictl("exec", "-s", *options, self.id, *command, check=check)

    def sh(self, script, check=True):
        return self.exec("sh", "-c", script, check=check).out

    def log(self):
        return self.node.crictl("logs", self.id).out

    def lines(self):
        """The log as (stream, tag, text)."""
        parts = [line.split(" ", 3) for line in self.log_path.read_text().splitlines()]
        return [(stream, tag, text) for _, stream, tag, text in parts]

    def wait_exit(self, seconds=20):
        end = time.monotonic() + seconds * environment.PATIENCE
        while time.monotonic() < end:
            status = self.status()
            if status["state"] == "CONTAINER_EXITED":
                return status
            time.sleep(0.05)
        raise AssertionError(f"container still {status['state']} after {seconds} s")

    def process(self):
        return int(self.inspect()["info"]["pid"])


def children_of_nobody():
    """Zombies that nobody has reaped, by command name."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            if stat.rpartition(")")[2].split()[0] == "Z":
                found.append(stat.partition("(")[2].rpartition(")")[0])
    return found
