# SPDX-License-Identifier: Apache-2.0
"""How containers end: code, reason and OOMKilled, every time, also when the daemon dies with the container."""
import os
import random
import signal
import subprocess

from support.suite import equal, test

HTTP = "127.0.0.1:5000"
HOLD = f"{HTTP}/test/web:1"
LIMIT = {"resources": {"memory_limit_in_bytes": 24 << 20}}
COUNT = int(os.environ.get("BERTH_EXITS", "20"))  # of each kind; the whole proof: 100

# What to run, and the code and reason that must be told.
KINDS = {
    "out of memory": (["hold", "256"], LIMIT, 137, "OOMKilled"),
    "out of memory as a child of init": (["sh", "-c", "hold 256; exit 9"], LIMIT, 9, "OOMKilled"),
    "killed from outside": (["sleep", "1000"], LIMIT, 137, "Error"),
    "code": (["sh", "-c", "exit 77"], LIMIT, 77, "Error"),
    "nothing wrong": (["true"], LIMIT, 0, "Completed"),
    # The kernel keeps a namespace's init from what it sends to itself.
    "a signal in a child": (["sh", "-c", "sh -c 'kill -SEGV $$'; exit $?"], None, 139, "Error"),
}


def nanoseconds(text):
    """A time of crictl's as something that can be compared."""
    seconds, _, rest = text.removesuffix("Z").partition(".")
    return seconds, rest.ljust(9, "0")


def begin(pod, kind, number):
    command, linux, *_ = KINDS[kind]
    container = pod.run(command, name=f"c{number}", image=HOLD, linux=linux)
    if kind == "killed from outside":
        signal.pidfd_send_signal(os.pidfd_open(container.process()), signal.SIGKILL)
    return container


def check(container, kind):
    *_, code, reason = KINDS[kind]
    status = container.wait_exit()
    equal((status["exitCode"], status["reason"]), (code, reason), kind)
    assert nanoseconds(status["startedAt"]) <= nanoseconds(status["finishedAt"]), status


@test(seconds=120 + 6 * COUNT)
def test_code_and_reason_are_right_every_time(node):
    node.crictl("pull", HOLD)
    with node.pod() as pod:
        for number in range(COUNT):
            for kind in KINDS:
                container = begin(pod, kind, number)
                check(container, kind)
                node.crictl("rm", container.id)
    node.crictl("rmi", HOLD)


@test(seconds=120 + 8 * COUNT)
def test_code_and_reason_are_right_when_the_daemon_dies_with_the_container(node):
    """It is killed at any moment between the start and the end; what was seen by nobody is read when it is back."""
    node.crictl("pull", HOLD)
    dice = random.Random(os.environ.get("BERTH_SEED", "1"))
    with node.pod() as pod:
        for number in range(max(COUNT // 2, 5)):
            containers = {kind: begin(pod, kind, f"{number}-{n}") for n, kind in enumerate(KINDS)}
            stopped = dice.random() < 0.5
            if stopped:
                last = subprocess.Popen(node.command("stop", "-t", "0", *[c.id for c in containers.values()]),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                node.kill()
                last.wait(30)
            else:
                node.kill()
            node.start()
            for kind, container in containers.items():
                status = container.wait_exit()
                got = (status["exitCode"], status["reason"])
                # The stop may have been faster than what it stopped.
                allowed = [KINDS[kind][2:], *([(137, "Error")] if stopped else [])]
                assert got in allowed, f"{kind}: {got}"
                node.crictl("rm", container.id)
    node.crictl("rmi", HOLD)
