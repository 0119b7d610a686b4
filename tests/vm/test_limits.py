# SPDX-License-Identifier: Apache-2.0
"""Limits on cgroup v2 and what happens at them."""
import os

from guest import group_of, run
from support.suite import equal, eventually, test

MIB = 1 << 20
ROUNDS = int(os.environ.get("BERTH_OOM_ROUNDS", "20"))
WEB = "127.0.0.1:5000/test/web:1"


def limit(process, name):
    return (group_of(process) / name).read_text().strip()


@test(seconds=120)
def test_memory_qos_through_unified(node):
    limits = {"memory_limit_in_bytes": 256 * MIB,
              "unified": {"memory.high": str(200 * MIB), "memory.min": str(16 * MIB), "memory.low": str(32 * MIB)}}
    wanted = {"memory.max": 256 * MIB, "memory.high": 200 * MIB, "memory.min": 16 * MIB, "memory.low": 32 * MIB}
    for handler in ("crun", "runc"):
        with node.pod(handler=handler) as pod:
            process = pod.run(linux={"resources": limits}).process()
            for after in ("the start", "a daemon-reload"):
                equal({name: int(limit(process, name)) for name in wanted}, wanted, f"{handler}, after {after}")
                run("systemctl", "daemon-reload")  # systemd writes again what it knows of


@test(seconds=120)
def test_update_outlives_a_daemon_reload(node):
    for handler in ("crun", "runc"):
        with node.pod(handler=handler) as pod:
            container = pod.run(linux={"resources": {"memory_limit_in_bytes": 256 * MIB, "cpu_quota": 50000, "cpu_period": 100000}})
            node.crictl("update", "--memory", 128 * MIB, "--cpu-quota", "20000", "--cpu-period", "100000", container.id)
            process = container.process()
            for _ in range(2):
                equal((limit(process, "memory.max"), limit(process, "cpu.max")), (str(128 * MIB), "20000 100000"), handler)
                run("systemctl", "daemon-reload")
            status = container.status()["resources"]["linux"]
            equal((int(status["memoryLimitInBytes"]), int(status["cpuQuota"])), (128 * MIB, 20000), "status")


@test(seconds=60 + 30 * ROUNDS)
def test_out_of_memory_is_told_every_time(node):
    wrong = []
    with node.pod() as pod:
        for number in range(ROUNDS):
            container = pod.run(["hold", "256"], image=WEB, name=f"hold-{number}", linux={"resources": {"memory_limit_in_bytes": 24 * MIB}})
            status = container.wait_exit(60)
            if (status["exitCode"], status["reason"]) != (137, "OOMKilled"):
                wrong.append((number, status["exitCode"], status["reason"]))
            node.crictl("rm", container.id)
    assert not wrong, f"{len(wrong)} of {ROUNDS}: {wrong}"


@test(seconds=60 + 30 * ROUNDS)
def test_killed_and_failed_are_not_out_of_memory(node):
    wrong = []
    with node.pod() as pod:
        for number in range(max(3, ROUNDS // 5)):
            oom = pod.run(["hold", "256"], image=WEB, name=f"hold-{number}", linux={"resources": {"memory_limit_in_bytes": 24 * MIB}})
            killed = pod.run(["sleep", "1000"], name=f"killed-{number}")
            failed = pod.run(["sh", "-c", "exit 137"], name=f"failed-{number}")
            os.kill(killed.process(), 9)
            for container, want in ((killed, (137, "Error")), (failed, (137, "Error")), (oom, (137, "OOMKilled"))):
                status = container.wait_exit(60)
                if (status["exitCode"], status["reason"]) != want:
                    wrong.append((number, want, status["exitCode"], status["reason"]))
                node.crictl("rm", container.id)
    assert not wrong, wrong


@test(seconds=120)
def test_out_of_memory_while_the_daemon_is_away(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "sleep 3; exec hold 256"], image=WEB, linux={"resources": {"memory_limit_in_bytes": 24 * MIB}})
        process = container.process()
        node.stop_daemon()
        eventually(lambda: not os.path.exists(f"/proc/{process}"), seconds=30)
        node.start()
        status = container.wait_exit(30)
        equal((status["exitCode"], status["reason"]), (137, "OOMKilled"), "exit")
