# SPDX-License-Identifier: Apache-2.0
"""Berth as a systemd service on cgroup v2: what it says of itself, where containers go, a restart under running pods."""
import pathlib
import re
import time

from guest import group_of, run, scope_of, show
from support.node import SLEEP
from support.suite import contains, equal, eventually, test


@test
def test_machine_is_what_the_suite_is_about(node):
    equal(pathlib.Path("/proc/1/comm").read_text().strip(), "systemd", "PID 1")
    equal(run("stat", "-f", "-c", "%T", "/sys/fs/cgroup"), "cgroup2fs", "/sys/fs/cgroup")
    controllers = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(controllers), controllers
    equal(pathlib.Path("/sys/module/apparmor/parameters/enabled").read_text().strip(), "Y", "AppArmor")


@test
def test_service_says_when_it_is_ready_and_takes_the_systemd_driver(node):
    equal(show("berth.service", "Type"), "notify", "Type")
    equal((show("berth.service", "KillMode"), show("berth.service", "Delegate")), ("process", "yes"), "KillMode, Delegate")
    equal(show("berth.service", "ActiveState"), "active", "state")
    equal(show("berth.service", "NRestarts"), "0", "restarts")
    contains(run("journalctl", "-b", "-u", "berth.service", "-o", "cat", "--no-pager"), "cgroup driver systemd")
    contains(pathlib.Path("/sys/kernel/security/apparmor/profiles").read_text(), "berth-default (enforce)")


@test
def test_container_runs_in_a_scope_of_its_own_below_the_slice(node):
    parent = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice"
    with node.pod(linux={"cgroup_parent": parent}) as pod:
        container = pod.run()
        scope = scope_of(container.process())
        equal(str(scope), f"/sys/fs/cgroup{parent}/crio-{container.id}.scope", "scope")
        # Not the protection that the service itself has.
        equal(pathlib.Path(f"/proc/{container.process()}/oom_score_adj").read_text().strip(), "0", "oom_score_adj")
        contains(container.sh("cat /proc/self/attr/current"), "berth-default (enforce)")
        contains(container.sh("echo from inside"), "from inside")
        equal(pod.run(["sh", "-c", "echo logged; exit 3"], name="second").wait_exit()["exitCode"], 3, "exit code")
    eventually(lambda: not scope.exists())
    for unit in ("kubepods-burstable-pod1.slice", "kubepods-burstable.slice", "kubepods.slice"):
        run("systemctl", "stop", unit)  # the kubelet's, not Berth's


@test
def test_container_without_a_parent_goes_below_the_system_slice(node):
    with node.pod() as pod:
        container = pod.run()
        equal(str(scope_of(container.process())), f"/sys/fs/cgroup/system.slice/crio-{container.id}.scope", "scope")


@test(seconds=180)
def test_pods_run_on_when_the_service_is_restarted(node):
    counter = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; usleep 20000; done"]
    with node.pod() as pod:
        container = pod.run(counter)
        before, process = container.status(), container.process()
        for restart, is_new in ((node.restart, True), (lambda: run("systemctl", "daemon-reload"), False), (node.kill, True)):
            daemon = node.daemon.pid
            restart()
            eventually(lambda: node.running() and (node.daemon.pid != daemon) == is_new, seconds=60)
            equal(container.process(), process, "pid")
            equal(container.status(), before, "status")
            contains(container.sh("echo in"), "in")
            assert pathlib.Path(f"/proc/{process}").exists()
        second = pod.run(["echo", "second"], name="second")
        equal(second.wait_exit(60)["exitCode"], 0, "exit code of a container made after it")
        node.crictl("stop", "-t", "0", container.id)
        texts = [text for _, _, text in container.lines()]
        equal(texts, [str(n + 1) for n in range(len(texts))], "numbers in the log")


@test(seconds=180)
def test_pods_run_on_while_the_service_is_stopped(node):
    with node.pod() as pod:
        quick = pod.run(["sh", "-c", "while [ ! -e /tmp/go ]; do usleep 50000; done; exit 42"], name="quick")
        stays = pod.run(SLEEP, name="stays")
        process = stays.process()
        quick.sh("(sleep 2; touch /tmp/go) >/dev/null 2>&1 &")
        equal(node.stop_daemon(), 0, "exit code")
        time.sleep(4)
        assert pathlib.Path(f"/proc/{process}").exists(), "the container ended with the service"
        node.start()
        equal((quick.status()["exitCode"], quick.status()["reason"]), (42, "Error"), "quick")
        equal(stays.process(), process, "pid")


@test
def test_monitor_is_outside_the_pods_group_and_hard_to_kill(node):
    with node.pod() as pod:
        process = pod.run().process()
        parent = process
        while pathlib.Path(f"/proc/{parent}/comm").read_text().strip() != "berth-monitor":
            parent = int(re.search(r"^PPid:\s*(\d+)", pathlib.Path(f"/proc/{parent}/status").read_text(), re.M).group(1))
            assert parent > 1, "no monitor"
        equal(str(group_of(parent)), "/sys/fs/cgroup/system.slice/berth.service", "group")
        equal(pathlib.Path(f"/proc/{parent}/oom_score_adj").read_text().strip(), "-999", "oom_score_adj")
