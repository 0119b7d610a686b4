# SPDX-License-Identifier: Apache-2.0
"""The OCI runtime and a CNI plugin that fail, hang, print garbage or 10 MB, are missing or may not be executed: a clear error in
its time, nothing half-made, and the retry works when the program does again."""
import json
import pathlib
import shutil
import subprocess
import time

import invariants
from invariants import Counts
from kubelet import Kubelet
from support import snapshot, suite
from support.snapshot import Snapshot

LIMIT = 2  # seconds that berthd gives a program here
MISBEHAVE = r"""
case "$(cat {directory}/mode-$verb 2>/dev/null)" in
  fail) echo "broken on purpose" >&2; exit 1 ;;
  hang) sleep 1000 & wait; exit 1 ;;
  garbage) head -c 2000 /dev/urandom; head -c 2000 /dev/urandom >&2; exit 1 ;;
  flood) head -c 10000000 /dev/zero | tr '\0' x; head -c 10000000 /dev/zero | tr '\0' x >&2; exit 1 ;;
  lie) head -c 2000 /dev/urandom; exit 0 ;;
  lie-flood) head -c 10000000 /dev/zero | tr '\0' x; exit 0 ;;
esac
"""
RUNTIME = """#!/bin/sh
for word; do
  case "$word" in create|start|exec|delete) verb=$word; break ;; esac
done
""" + MISBEHAVE + 'exec {crun} "$@"\n'
PLUGIN = """#!/bin/sh
verb=$CNI_COMMAND
""" + MISBEHAVE + r"""
case "$CNI_COMMAND" in
  VERSION) echo '{{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}}' ;;
  ADD) sed -e 's/,"runtimeConfig":.*//' -e 's/,"type":"faulty"}}$//' -e 's/.*"prevResult"://' ;;
esac
"""
NETWORK = {"cniVersion": "1.0.0", "name": "faulty", "plugins": [
    {"type": "bridge", "bridge": "faulty0", "isGateway": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.96.0.0/24"}]]}},
    {"type": "faulty"}]}


class Programs:
    def __init__(self, node, calls, run):
        self.node, self.calls, self.run_one, self.number = node, calls, run, 50000
        self.directory = node.work / "faulty"
        self.directory.mkdir(exist_ok=True)
        self.runtime = self._write("runtime", RUNTIME.replace("{crun}", shutil.which("crun")))
        self.plugin = self._write("faulty", PLUGIN.replace("{{", "{").replace("}}", "}"))

    def _write(self, name, text):
        path = self.directory / name
        path.write_text(text.replace("{directory}", str(self.directory)))
        path.chmod(0o755)
        return path

    # ------------------------------------------------------------------ switching
    def break_(self, program, verb, how):
        if how == "missing":
            program.rename(program.with_suffix(".away"))
        elif how == "not executable":
            program.chmod(0o644)
        else:
            (self.directory / f"mode-{verb}").write_text(how)

    def mend(self):
        for program in (self.runtime, self.plugin):
            if program.with_suffix(".away").exists():
                program.with_suffix(".away").rename(program)
            program.chmod(0o755)
        for mode in self.directory.glob("mode-*"):
            mode.unlink()

    def fails(self, method, request, *parts):
        began = time.monotonic()
        code, message, _ = self.calls.ask(method, request)
        took = time.monotonic() - began
        assert code not in ("OK", "Unavailable", "Unknown"), f"{method}: {code}: {message[:300]}"
        assert took < 2 * LIMIT + 4, f"{method}: took {took:.1f} s"
        assert len(message) < 8192, f"{method}: a message of {len(message)} bytes"
        for part in parts:
            assert part in message, f"{method}: {part!r} is not in {message[:500]!r}"
        Counts.checked += 1
        return message

    # ------------------------------------------------------------------ cases
    def runtime_case(self, verb, how):
        kubelet = self.kubelet()
        kubelet.handler = "faulty"
        kubelet.run()
        name = "" if how in ("missing", "lie") else "runtime"
        before = {"create": [], "start": [kubelet.create_a], "exec": [kubelet.create_a, kubelet.start_a],
                  "delete": [kubelet.create_b, kubelet.start_b]}[verb]
        for step in before:
            step()
        self.break_(self.runtime, verb, how)
        if verb == "create":
            config = self.node.container_config(["sleep", kubelet.marker], name="b")
            self.fails("CreateContainer", {"pod_sandbox_id": kubelet.pod, "config": config, "sandbox_config": kubelet.config}, name)
            self.in_order(kubelet)
            self.mend()
            # One whose undo needs the runtime too is there for the kubelet to remove.
            left = self.calls("ListContainers").get("containers", [])
            suite.equal([c["state"] for c in left], ["CONTAINER_EXITED"] if how in ("missing", "not executable") else [], "left")
            for container in left:
                self.calls("RemoveContainer", {"container_id": container["id"]})
            kubelet.create_b()
            kubelet.start_b()
        elif verb == "start":
            self.fails("StartContainer", {"container_id": kubelet.a}, name)
            self.mend()
            status = self.calls("ContainerStatus", {"container_id": kubelet.a})["status"]
            assert (status["state"], status["exit_code"], status["reason"]) == ("CONTAINER_EXITED", 128, "StartError"), status
            self.in_order(kubelet)
            kubelet.create_b()
            kubelet.start_b()
        elif verb == "exec":
            self.fails("ExecSync", {"container_id": kubelet.a, "cmd": ["echo", "in"], "timeout": 0 if how != "hang" else LIMIT})
            self.in_order(kubelet)
            self.mend()
            kubelet.exec_sync()
        else:
            self.fails("RemoveContainer", {"container_id": kubelet.b}, name)
            assert kubelet.container_state(kubelet.b) == "EXITED", "a container that could not be removed"
            self.mend()
            self.calls("RemoveContainer", {"container_id": kubelet.b})
            kubelet.b = None
        self.in_order(kubelet)
        kubelet.stop_pod()
        kubelet.remove_pod()
        self.finish(kubelet)

    def plugin_case(self, verb, how):
        kubelet = self.kubelet()
        if verb == "ADD":
            self.break_(self.plugin, verb, how)
            self.fails("RunPodSandbox", {"config": kubelet.config}, "faulty")
            self.mend()
            # Without the plugin the chain cannot be undone either: the pod stays, for the kubelet to stop and remove.
            for pod in kubelet.listed_pods():
                self.calls("StopPodSandbox", {"pod_sandbox_id": pod["id"]})
                self.calls("RemovePodSandbox", {"pod_sandbox_id": pod["id"]})
            self.in_order(kubelet)
            kubelet.run()
        else:
            kubelet.run()
            self.break_(self.plugin, verb, how)
            self.fails("StopPodSandbox", {"pod_sandbox_id": kubelet.pod}, "faulty")
            self.fails("RemovePodSandbox", {"pod_sandbox_id": kubelet.pod}, "faulty")
            kubelet.expect_pod("SANDBOX_NOTREADY")
            self.mend()
        kubelet.stop_pod()
        kubelet.remove_pod()
        self.finish(kubelet)

    def kubelet(self):
        self.number += 1
        return Kubelet(self.node, self.calls, self.number)

    def in_order(self, kubelet):
        invariants.check(self.node, self.calls, kubelet.marker)

    def finish(self, kubelet):
        self.in_order(kubelet)
        for directory in self.node.logs.iterdir():
            subprocess.run(["rm", "-rf", directory], check=True)
        self.before.assert_nothing_added(lambda kind, value: snapshot.of_the_node_itself(kind, value) or (
            kind == "route" and "faulty0" in value), seconds=6)  # a bridge's routes change with its ports

    def all(self, restart):
        self.node.write_config({"runtime": {"create_timeout_s": LIMIT}, "network": {
            "timeout_s": LIMIT, "bin_dirs": [str(self.directory)]}}, f'[runtime.handlers.faulty]\npath = "{self.runtime}"\n')
        restart()
        self._with_a_first_pod()
        runs = [(verb, how) for verb in ("create", "start", "exec", "delete")
                for how in ("fail", "hang", "garbage", "flood", "missing", "not executable")]
        for verb, how in [*runs, ("create", "lie"), ("exec", "lie")]:
            self.run_one(f"OCI runtime: {verb}: {how}", self.case, self.runtime_case, verb, how)
        conf = self.node.cni / "10-faulty.conflist"
        conf.write_text(json.dumps(NETWORK))
        self._with_a_first_pod()
        for verb in ("ADD", "DEL"):
            modes = ["fail", "hang", "garbage", "flood", "missing", "not executable"]
            for how in modes + (["lie", "lie-flood"] if verb == "ADD" else []):
                self.run_one(f"CNI plugin: {verb}: {how}", self.case, self.plugin_case, verb, how)
        conf.unlink()
        subprocess.run("ip link del faulty0; rm -rf /var/lib/cni/networks/faulty", shell=True, check=False)
        self.node.write_config({})
        restart()

    # What the first pod leaves for the next ones (a bridge, directories) is not a leak.
    def _with_a_first_pod(self):
        kubelet = self.kubelet()
        for step in kubelet.short():
            step()
        for directory in self.node.logs.iterdir():
            subprocess.run(["rm", "-rf", directory], check=True)
        node = self.node
        self.before = Snapshot([node.root, node.state, "/run/netns", "/var/lib/cni", node.logs])

    def case(self, function, verb, how):
        try:
            function(verb, how)
        finally:
            self.mend()
