# SPDX-License-Identifier: Apache-2.0
"""What is looked at after each test with a kubelet, and at the end.

What the kubelet logs as an error and blames on its runtime fails the test that was running, unless allowed_errors.txt has it."""
import pathlib
import re
import time

from support.snapshot import of_the_node_itself
from support.suite import eventually

# An error line, and what in it names the runtime.
ERROR = re.compile(r"^E\d{4} ")
RUNTIME = re.compile(r"rpc error|from (runtime|image) service|container runtime|\b(RunPodSandbox|StopPodSandbox|KillContainer|"
                     r"StopContainer|StartContainer|CreateContainer|ImageFs)|PLEG|remote_(runtime|image)|berth\.sock|berth-stream", re.I)


def allowed_errors():
    lines = (pathlib.Path(__file__).resolve().parent / "allowed_errors.txt").read_text().splitlines()
    return [line.split("\t", 1)[0] for line in lines if line and not line.startswith("#")]


def errors_of(cluster):
    allowed = [re.compile(pattern) for pattern in [*allowed_errors(), *cluster.expected]]
    return [line for line in cluster.kubelet_log_of_this_test().splitlines()
            if ERROR.match(line) and RUNTIME.search(line) and not any(pattern.search(line) for pattern in allowed)]


def after_each(cluster):
    cluster.sweep()
    found = errors_of(cluster)
    if found:
        raise AssertionError("the kubelet blames its runtime:\n  " + "\n  ".join(line[:900] for line in found[:10]))


def of_the_node(kind, value):
    """The kubelet's own groups of the classes of pods stay."""
    return of_the_node_itself(kind, value) or kind == "cgroup" and re.search(r"/kubepods(/besteffort|/burstable)?$", value)


def ends_clean(cluster, clean, counter, ignored=of_the_node):
    """The kubelet collects what is left of pods once a minute; then nothing of them may be there."""
    began = time.monotonic()
    try:
        eventually(lambda: not cluster.node.ids("pods"), 100, 1)
        cluster.close()
        clean.assert_nothing_added(ignored)
        counter.ok("pods leave nothing behind", time.monotonic() - began)
    except AssertionError as error:
        counter.fail("pods leave nothing behind", str(error))
