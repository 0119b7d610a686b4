# SPDX-License-Identifier: Apache-2.0
"""What a kubelet does with one pod, step by step, so that it can be stopped at any and go on: before each step it looks at what
is listed, and repeats a call that got no answer with the same request."""
import base64
import json
import pathlib
import re
import signal

import streams
from support import suite
from support.node import Failed

IMAGE = "127.0.0.1:5000/test/busybox:1"
PULLED = "127.0.0.1:5000/test/pulled:1"


class Kubelet:
    def __init__(self, node, calls, number, **pod):
        self.node, self.calls = node, calls
        self.marker = str(900000 + number)
        self.config = node.pod_config(f"matrix-{number}", **pod)
        self.pod, self.a, self.b = None, None, None
        self.handler = ""
        self.lost_exit = False  # the monitor died: exit codes may be unknown

    # ------------------------------------------------------------------ looking
    def listed_pods(self):
        items = self.calls("ListPodSandbox").get("items", [])
        return [p for p in items if p["metadata"]["uid"] == self.config["metadata"]["uid"]]

    def container_state(self, identifier):
        items = self.calls("ListContainers", {"filter": {"id": identifier}}).get("containers", [])
        return items[0]["state"].removeprefix("CONTAINER_") if items else None

    def expect_pod(self, *states):
        found = {p["id"]: p["state"] for p in self.listed_pods()}
        assert found.get(self.pod) in states, f"pod {self.pod} should be one of {states}, listed: {found}"

    def process(self):
        """The pid of the first container's first process."""
        info = self.calls("ContainerStatus", {"container_id": self.a, "verbose": True})["info"]
        return json.loads(info["info"])["pid"]

    # ------------------------------------------------------------------ steps
    def run_request(self):
        return {"config": self.config, "runtime_handler": self.handler}

    def run(self):
        before = self.listed_pods()
        for pod in before:
            assert pod["state"] == "SANDBOX_READY", f"half a pod is listed: {pod}"
        self.pod = self.calls("RunPodSandbox", self.run_request())["pod_sandbox_id"]
        assert not before or before[0]["id"] == self.pod, f"a second pod was made: {before}, {self.pod}"
        self.expect_pod("SANDBOX_READY")

    def _create(self, name, command, **fields):
        self.expect_pod("SANDBOX_READY")
        config = self.node.container_config(command, name=name, **fields)
        config["linux"]["security_context"]["namespace_options"] = \
            self.config["linux"]["security_context"]["namespace_options"]
        request = {"pod_sandbox_id": self.pod, "config": config, "sandbox_config": self.config}
        identifier = self.calls("CreateContainer", request)["container_id"]
        listed = [c["id"] for c in self.calls("ListContainers").get("containers", [])
                  if c["pod_sandbox_id"] == self.pod and c["metadata"]["name"] == name]
        assert listed == [identifier], f"created {identifier}, listed {listed}"
        return identifier

    def create_a(self):
        script = f"trap 'echo heard' USR1; trap 'exit 7' TERM; sleep {self.marker} & while :; do wait $!; done"
        self.a = self._create("a", ["sh", "-c", script])

    def create_b(self):
        self.b = self._create("b", ["sleep", self.marker])

    def create_pulled(self):
        script = f"trap 'exit 7' TERM; sleep {self.marker} & while :; do wait $!; done"
        self.a = self._create("a", ["sh", "-c", script], image=PULLED)

    def _start(self, identifier):
        self.expect_pod("SANDBOX_READY")
        state = self.container_state(identifier)
        assert state in ("CREATED", "RUNNING"), f"container to be started is {state}"
        if state == "CREATED":
            self.calls("StartContainer", {"container_id": identifier})
        assert self.container_state(identifier) == "RUNNING"

    def start_a(self):
        self._start(self.a)
        suite.eventually(self._hears_term)

    def _hears_term(self):
        """A shell that has no trap yet would not hear its stop signal."""
        status = pathlib.Path(f"/proc/{self.process()}/status").read_text()
        return int(re.search(r"^SigCgt:\s*(\w+)", status, re.M).group(1), 16) >> (signal.SIGTERM - 1) & 1

    def start_b(self):
        self._start(self.b)

    def exec_sync(self):
        assert self.container_state(self.a) == "RUNNING"
        answer = self.calls("ExecSync", {"container_id": self.a, "cmd": ["echo", "in"], "timeout": 10})
        assert base64.b64decode(answer.get("stdout", "")) == b"in\n", answer

    def exec_stream(self):
        assert self.node.crictl("exec", self.a, "echo", "in").out == "in\n"

    def attach_a(self):
        """Until its output has come through."""
        with streams.Client(self.node, "attach", self.a) as client:
            client.until(b"heard\n", lambda: self._in_a("kill", "-USR1", "1"))

    def forward(self):
        """Until the bytes of a server in the pod have come through."""
        self._in_a("sh", "-c", "echo served | nc -l -p 7 >/dev/null 2>&1 &")
        port = suite.free_port()
        with streams.Client(self.node, "port-forward", self.pod, f"{port}:7") as client:
            client.until_connected(port, b"served\n", lambda: self.calls("Version"))

    def _in_a(self, *command):
        answer = self.calls("ExecSync", {"container_id": self.a, "cmd": command, "timeout": 10})
        assert not answer.get("exit_code"), answer

    def update_a(self):
        limits = {"cpu_shares": 512, "memory_limit_in_bytes": 64 << 20, "oom_score_adj": 500}
        self.calls("UpdateContainerResources", {"container_id": self.a, "linux": limits})
        found = self.calls("ContainerStatus", {"container_id": self.a})["status"]["resources"]["linux"]
        assert {key: int(found.get(key, 0)) for key in limits} == limits, found
        score = pathlib.Path(f"/proc/{self.process()}/oom_score_adj").read_text()
        assert int(score) == limits["oom_score_adj"], score

    def read_pulled(self):
        answer = self.calls("ExecSync", {"container_id": self.a, "cmd": ["sh", "-c", "cat /file-* | wc -c"], "timeout": 10})
        assert base64.b64decode(answer.get("stdout", "")) == b"1200000\n", f"the image's files are not whole: {answer}"

    def stop_a(self):
        self.calls("StopContainer", {"container_id": self.a, "timeout": 10})
        status = self.calls("ContainerStatus", {"container_id": self.a})["status"]
        assert status["state"] == "CONTAINER_EXITED", status
        assert self.lost_exit or status.get("exit_code") == 7, status

    def remove_a(self):
        self.calls("RemoveContainer", {"container_id": self.a})
        assert self.container_state(self.a) is None

    def stop_pod(self):
        self.calls("StopPodSandbox", {"pod_sandbox_id": self.pod})
        self.expect_pod("SANDBOX_NOTREADY")
        if self.b:
            status = self.calls("ContainerStatus", {"container_id": self.b})["status"]
            assert status["state"] == "CONTAINER_EXITED", status
            assert self.lost_exit or status.get("exit_code") == 137, status

    def remove_pod(self):
        self.calls("RemovePodSandbox", {"pod_sandbox_id": self.pod})
        assert self.listed_pods() == []

    def pull(self):
        self.calls("PullImage", {"image": {"image": PULLED}})
        assert self.calls("ImageStatus", {"image": {"image": PULLED}}).get("image")

    def remove_image(self):
        self.calls("RemoveImage", {"image": {"image": PULLED}})
        assert not self.calls("ImageStatus", {"image": {"image": PULLED}}).get("image")

    # ------------------------------------------------------------------ sequences
    def whole(self):
        return [self.run, self.create_a, self.start_a, self.exec_sync, self.exec_stream, self.stop_a, self.remove_a,
                self.create_b, self.start_b, self.stop_pod, self.remove_pod]

    def changed(self):
        return [self.run, self.create_a, self.start_a, self.update_a, self.attach_a, self.forward, self.stop_pod, self.remove_pod]

    def short(self):
        return [self.run, self.create_a, self.start_a, self.stop_pod, self.remove_pod]

    def image(self):
        return [self.pull, self.remove_image]

    def used_image(self):
        return [self.pull, self.run, self.create_pulled, self.start_a, self.read_pulled, self.stop_pod, self.remove_pod,
                self.remove_image]


FAILURES = (AssertionError, Failed)
