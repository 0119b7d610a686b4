# SPDX-License-Identifier: Apache-2.0
"""berthd goes and comes back; pods must not notice."""
import os
import re
import shutil
import signal
import threading
import time

from support.calls import Calls
from support.node import SLEEP, Pod
from support.suite import contains, equal, eventually, test

COUNTER = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; usleep 10000; done"]


def check_no_gap(container, least):
    texts = [text for _, _, text in container.lines()]
    assert len(texts) >= least, f"only {len(texts)} lines"
    equal(texts, [str(n + 1) for n in range(len(texts))], "numbers in the log")


@test
def test_pods_run_on_when_the_daemon_is_killed(node):
    with node.pod(labels={"a": "b"}) as pod, node.pod(namespaces={"pid": 0}) as shared:
        counter, sleeper = pod.run(COUNTER), shared.run(SLEEP)
        pid, before = counter.process(), node.json("inspect", counter.id)["status"]
        time.sleep(0.3)
        node.kill()
        time.sleep(1.0)
        lines = len(counter.lines())
        assert lines > 60, f"the log stood still while the daemon was away: {lines} lines"
        node.start()
        equal(counter.process(), pid, "pid")
        equal(sorted(node.ids("ps")), sorted([counter.id, sleeper.id]), "ps")
        after = node.json("inspect", counter.id)["status"]
        equal(after, before, "status")
        equal(node.ids("pods", "--label", "a=b"), [pod.id], "pods")
        contains(counter.sh("echo in"), "in")
        contains(sleeper.sh("echo in"), "in")
        time.sleep(0.3)
        node.crictl("stop", "-t", "0", counter.id)
        check_no_gap(counter, 100)


@test
def test_pods_run_on_when_the_daemon_ends_in_good_order(node):
    with node.pod() as pod:
        counter = pod.run(COUNTER)
        equal(node.stop_daemon(), 0, "exit code")
        time.sleep(0.3)
        node.start()
        equal(node.ids("ps"), [counter.id], "ps")
        second = pod.run(["echo", "second"], name="second")
        second.wait_exit()
        contains(second.log(), "second")
        node.crictl("stop", "-t", "0", counter.id)
        check_no_gap(counter, 20)


@test
def test_exit_while_the_daemon_is_away_is_told_with_its_code(node):
    with node.pod() as pod:
        quick = pod.run(["sh", "-c", "while [ ! -e /tmp/go ]; do usleep 10000; done; exit 42"], name="quick")
        killed = pod.run(["sleep", "1000"], name="killed")
        pid = killed.process()
        quick.sh("(sleep 0.5; touch /tmp/go) >/dev/null 2>&1 &")
        node.kill()
        os.kill(pid, 9)
        time.sleep(1.2)
        node.start()
        equal((quick.status()["exitCode"], quick.status()["reason"]), (42, "Error"), "quick")
        equal(killed.status()["exitCode"], 137, "killed")
        assert not quick.status()["finishedAt"].startswith("1970"), "no time of its end"
        equal(node.ids("ps"), [], "running")


@test
def test_created_container_can_be_started_after_a_restart(node):
    with node.pod() as pod:
        identifier = pod.create(["sh", "-c", "echo started late"])
        node.restart()
        node.crictl("start", identifier)
        eventually(lambda: "started late" in node.crictl("logs", identifier).out)


@test
def test_same_pod_after_a_restart_gives_the_same_id(node):
    with node.pod() as pod:
        node.restart()
        equal(node.crictl("runp", pod.path).out.strip(), pod.id, "id")


@test
def test_monitor_that_dies_is_reported_and_the_pod_can_be_removed(node):
    pod = node.pod()
    container = pod.run(["sleep", "1000"])
    monitor = monitor_of(container.process())
    os.kill(monitor, 9)
    eventually(lambda: container.status()["state"] in ("CONTAINER_EXITED", "CONTAINER_UNKNOWN"), seconds=15)
    node.crictl("rmp", "-f", pod.id)
    equal(node.ids("pods"), [], "pods")
    shutil.rmtree(pod.log_directory)


def monitor_of(pid):
    parent = pid
    while True:
        status = open(f"/proc/{parent}/status").read()
        if status.startswith("Name:\tberth-monitor"):
            return parent
        parent = int(re.search(r"PPid:\s*(\d+)", status).group(1))
        assert parent > 1, "the container's process is no descendant of a monitor"


def stopped_monitors_at_a_start(node, pods):
    """berthd is started while the monitors of these pods are stopped; the monitors."""
    monitors = [monitor_of(container.process()) for _, container in pods]
    for monitor in monitors:
        os.kill(monitor, signal.SIGSTOP)
    node.kill()
    began = time.monotonic()
    node.start(wait=False)
    node.wait_ready(40)
    took = time.monotonic() - began
    assert took < 8, f"{len(pods)} monitors that do not answer held up the start for {took:.1f} s"
    return monitors


@test(seconds=90)
def test_monitors_that_do_not_answer_at_a_start_are_adopted_when_they_do(node):
    pods = []
    for _ in range(3):
        pod = node.pod()
        pods.append((pod, pod.run(SLEEP)))
    ends = pods[0][0].run(["sh", "-c", "while [ ! -e /tmp/go ]; do usleep 10000; done; exit 42"], name="ends")
    ending = ends.process()
    monitors = stopped_monitors_at_a_start(node, pods)
    try:
        with node.pod() as other:
            other.run(["true"]).wait_exit()
        for pod, container in pods:
            equal(pod.status()["state"], "SANDBOX_READY", "pod, as on record")
            equal(container.status()["state"], "CONTAINER_RUNNING", "container, as on record")
            refused = node.crictl("exec", "-s", container.id, "true", check=False)
            contains(refused.text, f"sandbox {pod.id}: its monitor does not answer")
            assert "DeadlineExceeded" in refused.text, refused.text
        os.kill(ending, 9)
        ticks = cpu_ticks(node.daemon.pid)
        time.sleep(3)
        used = cpu_ticks(node.daemon.pid) - ticks
        assert used <= 1, f"{used} ticks of processor time in 3 s although nothing happens"
    finally:
        for monitor in monitors:
            os.kill(monitor, signal.SIGCONT)
    eventually(lambda: ends.status()["state"] == "CONTAINER_EXITED")
    equal(ends.status()["exitCode"], 137, "exit code of one that ended meanwhile")
    for pod, container in pods:
        contains(container.sh("echo in"), "in")
        node.crictl("stop", "-t", "0", container.id)
        equal(container.status()["exitCode"], 137, "exit code")
        again = pod.run(["echo", "again"], name="again")
        again.wait_exit()
        contains(again.log(), "again")
        node.crictl("rmp", "-f", pod.id)
        shutil.rmtree(pod.log_directory)


def cpu_ticks(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@test(seconds=120)
def test_monitor_that_never_answers_after_a_start_is_killed_with_its_pod(node):
    pod = node.pod()
    container = pod.run(SLEEP)
    pid = container.process()
    (monitor,) = stopped_monitors_at_a_start(node, [(pod, container)])
    calls = Calls(node.socket)
    calls("RemovePodSandbox", {"pod_sandbox_id": pod.id}, seconds=80)
    calls.close()
    equal(node.ids("pods"), [], "pods")
    assert not os.path.exists(f"/proc/{monitor}"), "the monitor is still there"
    assert not os.path.exists(f"/proc/{pid}"), "the container's process runs on"
    shutil.rmtree(pod.log_directory)


@test(seconds=120)
def test_calls_to_a_monitor_that_does_not_answer_hold_up_no_other_pod(node):
    pod = node.pod()
    container = pod.run(SLEEP)
    monitor = monitor_of(container.process())
    calls = Calls(node.socket)
    os.kill(monitor, signal.SIGSTOP)
    try:
        answers, threads = [], []
        for _ in range(80):
            threads.append(threading.Thread(target=lambda: answers.append(
                calls.ask("ReopenContainerLog", {"container_id": container.id}, seconds=60))))
            threads[-1].start()
        began = time.monotonic()
        identifier = calls("RunPodSandbox", {"config": node.pod_config("unaffected")})["pod_sandbox_id"]
        took = time.monotonic() - began
        assert took < 3, f"RunPodSandbox of another pod took {took:.1f} s"
        for thread in threads:
            thread.join()
        equal({code for code, _, _ in answers}, {"DeadlineExceeded"}, "codes")
        for _, message, _ in answers:
            contains(message, f"sandbox {pod.id}: its monitor does not answer")
        assert time.monotonic() - began < 9, "the calls were not ended after their time"
        began = time.monotonic()
        for method, request in (("ReopenContainerLog", {}), ("UpdateContainerResources", {"linux": {"cpu_shares": 512}}),
                                ("ExecSync", {"cmd": ["true"], "timeout": 5})):
            code, message, _ = calls.ask(method, {"container_id": container.id, **request}, seconds=60)
            equal(code, "DeadlineExceeded", method)
            contains(message, f"sandbox {pod.id}: its monitor does not answer")
        assert time.monotonic() - began < 2, "a monitor that is known to hang is waited for again"
        calls("RemovePodSandbox", {"pod_sandbox_id": identifier})
    finally:
        os.kill(monitor, signal.SIGCONT)
    eventually(lambda: calls.ask("ReopenContainerLog", {"container_id": container.id})[0] == "OK")
    contains(container.sh("echo in"), "in")
    calls.close()
    node.crictl("rmp", "-f", pod.id)
    for directory in node.logs.iterdir():
        shutil.rmtree(directory)


@test(seconds=120)
def test_pods_end_without_their_oci_runtime(node):
    programs = node.work / "programs"
    programs.mkdir()
    old = node.config.read_text()
    for name in ("crun", "runc"):
        shutil.copy2(shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"), programs / name)
    node.write_config({}, "".join(f'[runtime.handlers.my{name}]\npath = "{programs}/{name}"\n' for name in ("crun", "runc")))
    node.restart()
    try:
        for handler in ("mycrun", "myrunc"):
            pods = [Pod(node, node.pod_config(), handler) for _ in range(2)]
            containers = [pod.run(SLEEP) for pod in pods]
            processes = [container.process() for container in containers]
            os.rename(programs / handler[2:], programs / "away")
            for pod in pods:
                failed = node.crictl("create", pod.id, node.file(node.container_config(["true"], name="other")), pod.path,
                                     check=False)
                assert failed.code != 0, "a container was made without its OCI runtime"
                contains(failed.text, f"{programs}/{handler[2:]}")
                contains(failed.text, "No such file")
            node.crictl("stop", "-t", "1", containers[0].id)
            node.crictl("rm", containers[0].id)
            os.kill(monitor_of(processes[1]), 9)
            for pod in pods:
                node.crictl("rmp", "-f", pod.id)
                shutil.rmtree(pod.log_directory)
            equal([pid for pid in processes if os.path.exists(f"/proc/{pid}")], [], "processes")
            os.rename(programs / "away", programs / handler[2:])
    finally:
        node.config.write_text(old)
        node.restart()
        shutil.rmtree(programs)
        for handler in ("mycrun", "myrunc"):
            os.rmdir(node.state / "runtime" / handler)


@test
def test_everything_goes_after_a_restart(node):
    pod = node.pod(port_mappings=[{"container_port": 80, "host_port": 8084}])
    pod.run()
    Pod(node, node.pod_config(), "runc").run()
    node.restart()
    node.crictl("rmp", "-fa")
    for directory in node.logs.iterdir():
        shutil.rmtree(directory)


@test
def test_daemon_keeps_no_descriptor_or_thread_per_pod_that_is_gone(node):
    def count():
        pid = node.daemon.pid
        return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))

    def once():
        with node.pod() as pod:
            pod.run(["true"]).wait_exit()
    once()
    time.sleep(0.5)
    fds, threads = count()
    for _ in range(5):
        once()

    def settled():
        now = count()
        assert now[0] <= fds + 2 and now[1] <= threads + 4, f"{now} after 5 pods, {(fds, threads)} before"
        return True
    eventually(settled, seconds=10)


@test
def test_monitor_is_small(node):
    with node.pod() as pod:
        container = pod.run(["sleep", "1000"])
        monitor = monitor_of(container.process())
        text = open(f"/proc/{monitor}/smaps_rollup").read()
        # What each monitor has for itself. The pages of the program (the rest of its PSS) are shared by all pods' monitors.
        anonymous = int(re.search(r"^Pss_Anon:\s*(\d+)", text, re.M).group(1))
        assert anonymous < 150, f"{anonymous} kB"


@test
def test_pods_run_where_the_root_mount_is_private(node):
    node.stop_daemon()
    node.start(prefix=["unshare", "-m", "--propagation", "private"])
    volume = node.work / "private-volume"
    volume.mkdir()
    (volume / "file").write_text("seen\n")
    with node.pod() as pod:
        container = pod.run(mounts=[{"container_path": "/vol", "host_path": str(volume)}])
        equal(container.sh("cat /vol/file").strip(), "seen", "volume")
        equal(pod.run(["true"], name="second").wait_exit()["exitCode"], 0, "exit code")
    shutil.rmtree(volume)
    node.stop_daemon()
    node.start()
