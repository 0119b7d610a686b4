# SPDX-License-Identifier: Apache-2.0
"""Containers: life cycle, exit codes, exec, what the process is given."""
import subprocess
import time

from support.node import SLEEP, Container, children_of_nobody
from support.suite import contains, equal, eventually, test

HTTP = "127.0.0.1:5000"


@test
def test_container_lives_from_created_to_running_to_exited_to_gone(node):
    with node.pod() as pod:
        identifier = pod.create(["sh", "-c", "exit 3"], labels={"c": "1"}, annotations={"n": "v"})
        status = node.json("inspect", identifier)["status"]
        equal((status["state"], status["labels"], status["annotations"]), ("CONTAINER_CREATED", {"c": "1"}, {"n": "v"}), "created")
        equal(node.ids("ps", "-a", "--state", "created"), [identifier], "listed as created")
        node.crictl("start", identifier)
        container = Container(pod, identifier, "main")
        status = container.wait_exit()
        equal((status["exitCode"], status["reason"]), (3, "Error"), "exit")
        times = [status[key].rstrip("Z").partition(".") for key in ("createdAt", "startedAt", "finishedAt")]
        times = [(seconds, fraction.ljust(9, "0")) for seconds, _, fraction in times]
        equal(times, sorted(times), "order of the times")
        equal(node.ids("ps", "-a", "--label", "c=1"), [identifier], "by label")
        equal(node.ids("ps"), [], "running")
        node.crictl("rm", identifier)
        equal(node.ids("ps", "-a"), [], "all")


@test
def test_exit_code_0_is_completed(node):
    with node.pod() as pod:
        status = pod.run(["true"]).wait_exit()
        equal((status["exitCode"], status["reason"]), (0, "Completed"), "exit")


@test
def test_stop_sends_sigterm_and_the_handler_says_how_it_ends(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.1; done"])
        eventually(lambda: "ready" in container.log())
        node.crictl("stop", "-t", "20", container.id)
        equal(container.status()["exitCode"], 7, "exit code")
        contains(container.log(), "got it")


@test
def test_sigterm_without_a_handler_ends_with_143(node):
    with node.pod(namespaces={"pid": 0}) as pod:  # not PID 1, so that the default action holds
        container = pod.run(["sleep", "1000"])
        node.crictl("stop", "-t", "20", container.id)
        equal(container.status()["exitCode"], 143, "exit code")


@test
def test_stop_kills_after_the_grace_time(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"])
        eventually(lambda: "ready" in container.log())
        began = time.monotonic()
        node.crictl("stop", "-t", "1", container.id)
        took = time.monotonic() - began
        assert 0.9 < took < 8, took
        equal(container.status()["exitCode"], 137, "exit code")
        node.crictl("stop", "-t", "1", container.id)


@test
def test_stop_signal_of_the_image_is_used(node):
    node.crictl("pull", f"{HTTP}/test/command:1")
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "trap 'exit 5' USR1; echo ready; while :; do sleep 0.1; done"],
                            image=f"{HTTP}/test/command:1")
        eventually(lambda: "ready" in container.log())
        node.crictl("stop", "-t", "20", container.id)
        equal(container.status()["exitCode"], 5, "exit code")
    node.crictl("rmi", f"{HTTP}/test/command:1")


@test
def test_image_entrypoint_and_cmd_combine_with_command_and_args(node):
    image = f"{HTTP}/test/command:1"
    node.crictl("pull", image)
    with node.pod() as pod:
        cases = [({}, "entry point"), ({"args": ["other"]}, "entry other"),
                 ({"command": ["echo", "mine"]}, "mine"), ({"command": ["echo"], "args": ["a", "b c"]}, "a b c")]
        for number, (fields, want) in enumerate(cases):
            command = fields.pop("command", None)
            container = pod.run(command, image=image, name=f"c{number}", **fields)
            container.wait_exit()
            equal(container.log().strip(), want, str(fields))
    node.crictl("rmi", image)


@test
def test_environment_directory_and_user_are_as_asked(node):
    with node.pod() as pod:
        container = pod.run(envs=[{"key": "A", "value": "1=2"}, {"key": "GREETING", "value": "bye"}], working_dir="/tmp",
                            security={"run_as_user": {"value": 1000}, "supplemental_groups": [4242]})
        equal(container.sh("echo $A; echo $GREETING; pwd; id -u; id -g; id -G").split("\n")[:5],
              ["1=2", "bye", "/tmp", "1000", "1001"], "environment")
        equal(set(container.sh("id -G").split()), {"1001", "4242", "50000"}, "groups")
        equal(container.status()["user"]["linux"]["uid"], "1000", "user in the status")


@test
def test_image_supplies_environment_and_directory(node):
    with node.pod() as pod:
        equal(pod.run().sh("echo $GREETING; pwd").split(), ["hello", "/data"], "from the image")


@test
def test_user_of_the_image_by_name_and_by_number(node):
    with node.pod() as pod:
        for name, want in (("user-name", "1000 1001"), ("user-ids", "1003 1004")):
            image = f"{HTTP}/test/{name}:1"
            node.crictl("pull", image)
            container = pod.run(["sh", "-c", "echo $(id -u) $(id -g)"], image=image, name=name)
            container.wait_exit()
            equal(container.log().strip(), want, name)
            node.crictl("rmi", image)


@test
def test_run_as_username_is_looked_up_in_the_image(node):
    with node.pod() as pod:
        container = pod.run(security={"run_as_username": "alice"})
        equal(container.sh("id -un; id -gn").split(), ["alice", "staff"], "user")


@test
def test_rule_29_exec_gives_output_errors_and_the_exit_code(node):
    with node.pod() as pod:
        container = pod.run()
        done = container.exec("sh", "-c", "echo out; echo err >&2; exit 9", check=False)
        contains(done.err, "9")
        done = node.berth("exec", container.id, "--", "sh", "-c", "echo out; echo err >&2; exit 9", check=False)
        equal((done.out, done.err, done.code), ("out\n", "err\n", 9), "streams and exit code")
        equal(container.exec("cat", "/proc/self/status").out.count("Name:"), 1, "lines")
        equal(container.sh("dd if=/dev/zero bs=1000 count=3000 2>/dev/null | tr '\\0' x").count("x"), 3_000_000, "long output")


@test
def test_rule_29_exec_that_takes_too_long_is_killed_and_says_so(node):
    with node.pod() as pod:
        container = pod.run()
        began = time.monotonic()
        done = container.exec("sh", "-c", "sleep 4242 & sleep 4242", check=False, timeout=1)
        assert time.monotonic() - began < 10
        contains(done.err, "DeadlineExceeded")
        eventually(lambda: "4242" not in container.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").replace("sh -c cat", ""))


@test
def test_exec_whose_client_has_gone_ends(node):
    with node.pod() as pod:
        container = pod.run()

        def processes():
            return container.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").replace("sh -c cat", "")

        client = subprocess.Popen(node.command("exec", "--sync", container.id, "sleep", "4243"), stdout=subprocess.DEVNULL)
        eventually(lambda: "sleep 4243" in processes())
        client.kill()
        client.wait()
        eventually(lambda: "sleep 4243" not in processes())


@test
def test_exec_of_a_missing_command_is_an_error(node):
    with node.pod() as pod:
        container = pod.run()
        done = container.exec("/no/such/program", check=False)
        assert done.code != 0
        equal(container.sh("echo ok").strip(), "ok", "the container goes on")


@test
def test_many_execs_at_once(node):
    with node.pod() as pod:
        container = pod.run()
        runs = [subprocess.Popen(node.command("exec", "-s", container.id, "sh", "-c", f"echo {n}; exit 0"),
                                 stdout=subprocess.PIPE, text=True) for n in range(12)]
        equal([run.communicate(timeout=50)[0].strip() for run in runs], [str(n) for n in range(12)], "outputs")


@test
def test_rule_20_memory_limit_ends_in_oomkilled(node):
    node.crictl("pull", f"{HTTP}/test/web:1")
    with node.pod() as pod:
        container = pod.run(["hold", "512"], image=f"{HTTP}/test/web:1",
                            linux={"resources": {"memory_limit_in_bytes": 64 << 20}})
        status = container.wait_exit()
        equal((status["exitCode"], status["reason"]), (137, "OOMKilled"), "exit")
    node.crictl("rmi", f"{HTTP}/test/web:1")


@test
def test_resources_reach_the_control_groups(node):
    with node.pod() as pod:
        limits = {"cpu_shares": 512, "cpu_quota": 50000, "cpu_period": 100000, "memory_limit_in_bytes": 128 << 20}
        container = pod.run(linux={"resources": limits})
        script = ("cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu/cpu.cfs_quota_us "
                  "/sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max")
        found = container.sh(script).split()
        assert found in (["512", "50000", str(128 << 20)], ["50000", "100000", str(128 << 20)]), found


@test
def test_readonly_root_file_system_refuses_writes(node):
    with node.pod() as pod:
        container = pod.run(SLEEP, security={"readonly_rootfs": True})
        done = container.exec("sh", "-c", "echo x > /data/file", check=False)
        contains(done.text, "Read-only file system")
        equal(pod.run(SLEEP, name="writable").sh("echo x > /data/file && cat /data/file").strip(), "x", "writable one")


@test
def test_restarted_container_is_a_new_attempt_with_a_fresh_file_system(node):
    with node.pod() as pod:
        first = pod.run(["sh", "-c", "echo x > /data/mark; exit 1"])
        first.wait_exit()
        config = node.container_config(["sh", "-c", "ls /data/mark; sleep 1000"])
        config["metadata"]["attempt"], config["log_path"] = 1, "second.log"
        second = node.crictl("create", pod.id, node.file(config), pod.path).out.strip()
        node.crictl("start", second)
        contains(node.crictl("exec", "-s", second, "sh", "-c", "ls /data").out, "kept")
        assert "mark" not in node.crictl("exec", "-s", second, "sh", "-c", "ls /data").out


@test
def test_rule_34_container_inspection_shows_pid_spec_and_configuration(node):
    with node.pod() as pod:
        container = pod.run()
        value = container.inspect()
        info = value["info"]
        equal(info["sandboxID"], pod.id, "sandbox")
        contains(open(f"/proc/{info['pid']}/cmdline").read(), "sleep 1000")
        contains(str(info["runtimeSpec"]), "sleep 1000")
        equal(value["status"]["imageId"], node.images.busybox.id, "image id")
        contains(value["status"]["imageRef"], node.images.busybox.digest)
        equal(value["status"]["logPath"], str(container.log_path), "log path")


@test
def test_removing_a_running_container_needs_force_from_crictl_only(node):
    with node.pod() as pod:
        container = pod.run(["sleep", "1000"])
        node.crictl("rm", "-f", container.id)
        equal(node.ids("ps", "-a"), [], "containers")


@test
def test_mounts_of_a_container_never_show_on_the_host(node):
    with node.pod() as pod:
        before = open("/proc/self/mountinfo").read()
        container = pod.run()
        equal([line for line in open("/proc/self/mountinfo") if line not in before], [], "new mounts on the host")
        contains(open(f"/proc/{container.process()}/mountinfo").read(), " / / ", "overlay")


@test
def test_zombies_of_a_container_are_reaped(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done; exit 0"])
        container.wait_exit()
        eventually(lambda: not children_of_nobody(), seconds=5)
