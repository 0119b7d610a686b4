# SPDX-License-Identifier: Apache-2.0
"""Fields of a container's configuration that the other parts do not look at; docs/cri-fields.md names the test of each."""
import os
import signal

from support.node import CONTAINER, TARGET, Container
from support.suite import contains, equal, test
from test_errors import refused_container
from test_security import capabilities, field, status_of

NET_ADMIN, SYS_TIME, NET_RAW = 12, 25, 13


def user_of(container):
    found = container.status()["user"]["linux"]
    return int(found.get("uid") or 0), int(found.get("gid") or 0), sorted(map(int, found.get("supplementalGroups") or []))


@test
def test_supplemental_groups_policy_merge_and_strict(node):
    """The image puts alice (1000) into extra (5000)."""
    node.crictl("pull", "127.0.0.1:5000/test/groups:1")
    with node.pod() as pod:
        for number, (policy, groups) in enumerate(((0, {1000, 4000, 5000}), (1, {1000, 4000}))):
            security = {"run_as_user": {"value": 1000}, "supplemental_groups": [4000], "supplemental_groups_policy": policy}
            container = pod.run(name=f"c{number}", image="127.0.0.1:5000/test/groups:1", security=security)
            equal(set(map(int, container.sh("id -G").split())), groups, f"groups with policy {policy}")
            uid, gid, told = user_of(container)
            equal((uid, gid), (1000, 1000), "user in the status")
            equal(set(told) | {gid}, groups, "groups in the status")
    node.crictl("rmi", "127.0.0.1:5000/test/groups:1")


@test
def test_run_as_group_and_the_status(node):
    with node.pod() as pod:
        container = pod.run(security={"run_as_user": {"value": 1234}, "run_as_group": {"value": 4321}})
        equal(container.sh("id -u; id -g").split(), ["1234", "4321"], "ids")
        equal(user_of(container)[:2], (1234, 4321), "status")


@test
def test_ambient_capabilities_reach_an_ordinary_user(node):
    asked = {"add_capabilities": ["NET_ADMIN"], "add_ambient_capabilities": ["NET_ADMIN"]}
    text = status_of(node, {"run_as_user": {"value": 1000}, "capabilities": asked})
    for name in ("CapEff", "CapPrm", "CapAmb", "CapInh"):
        assert NET_ADMIN in capabilities(text, name), f"{name}: {text}"


@test
def test_all_capabilities_are_added_but_the_dropped_ones(node):
    found = capabilities(status_of(node, {"capabilities": {"add_capabilities": ["ALL"], "drop_capabilities": ["NET_RAW"]}}))
    assert NET_ADMIN in found and NET_RAW not in found, found


@test
def test_privileged_ignores_seccomp_apparmor_and_masks(node):
    with node.pod(security={"privileged": True}) as pod:
        container = pod.run(security={"privileged": True, "seccomp": {"profile_type": 0}, "apparmor": {"profile_type": 0},
                                      "masked_paths": ["/proc/version"], "readonly_paths": ["/proc/sys"]})
        equal(field(container.sh("cat /proc/self/status"), "Seccomp"), "0", "filter")
        contains(container.sh("cat /proc/version"), "Linux")


@test
def test_apparmor_without_apparmor_in_the_kernel(node):
    if os.path.exists("/sys/kernel/security/apparmor"):
        return
    with node.pod() as pod:
        for number, security in enumerate(({"apparmor": {"profile_type": 0}}, {"apparmor": {"profile_type": 1}},
                                           {"apparmor_profile": ""}, {"apparmor_profile": "runtime/default"})):
            pod.run(name=f"c{number}", security=security)
    refused_container(node, "InvalidArgument", "this kernel runs without AppArmor",
                      security={"apparmor": {"profile_type": 2, "localhost_ref": "mine"}})


@test
def test_selinux_without_selinux_in_the_kernel(node):
    if os.path.exists("/sys/fs/selinux/enforce"):
        return
    with node.pod() as pod:
        pod.run(security={"selinux_options": {}})
    refused_container(node, "InvalidArgument", "this kernel runs without SELinux", security={"selinux_options": {"level": "s0:c1,c2"}})


@test
def test_device_permissions_and_directories(node):
    devices = [{"container_path": "/dev/asked", "host_path": "/dev/zero", "permissions": "r"},
               {"container_path": "/dev/inputs", "host_path": str(node.work / "devs"), "permissions": "rw"}]
    directory = node.work / "devs" / "sub"
    directory.mkdir(parents=True)
    os.mknod(directory / "seven", 0o660 | 0o020000, os.makedev(1, 7))
    with node.pod() as pod:
        container = pod.run(devices=devices)
        equal(container.sh("stat -c '%t %T' /dev/inputs/sub/seven").strip(), "1 7", "device of a directory")
        equal(container.sh("head -c 2 /dev/asked | wc -c").strip(), "2", "read")
    os.unlink(directory / "seven")
    directory.rmdir()
    directory.parent.rmdir()
    refused_container(node, "InvalidArgument", "permissions", devices=[{"container_path": "/dev/x", "host_path": "/dev/null", "permissions": "rwx"}])


@test
def test_stop_signal_of_the_request_also_a_real_time_one(node):
    script = ["sh", "-c", "trap 'echo usr1; exit 7' USR1; while :; do sleep 0.1; done"]
    with node.pod() as pod:
        container = pod.run(script, stop_signal=29)
        status = container.status()
        contains(str(status.get("stopSignal")), "USR1")
        node.crictl("stop", "--timeout", 10, container.id)
        equal(container.status()["exitCode"], 7, "exit code")
        container = pod.run(["sh", "-c", f"trap 'exit 9' {signal.SIGRTMIN + 3}; while :; do sleep 0.1; done"], name="rt", stop_signal=38)
        contains(str(container.status().get("stopSignal")), "RTMINPLUS3")
        node.crictl("stop", "--timeout", 10, container.id)
        equal(container.status()["exitCode"], 9, "exit code")


@test
def test_oom_score_cpuset_and_shares_at_creation(node):
    with node.pod() as pod:
        container = pod.run(linux={"resources": {"oom_score_adj": 321, "cpuset_cpus": "0", "cpu_shares": 222}})
        contains(container.sh("grep Cpus_allowed_list /proc/self/status; cat /proc/1/oom_score_adj"), "\t0\n", "321")
        contains(container.sh("cat /proc/self/oom_score_adj"), "321")  # of an exec, too
        equal(int(container.status()["resources"]["linux"]["cpuShares"]), 222, "status")


@test
def test_hugepage_limits_of_a_kernel_without_the_controller_are_passed_over(node):
    with node.pod() as pod:
        pod.run(linux={"resources": {"hugepage_limits": [{"page_size": "2MB", "limit": 0}, {"page_size": "1GB", "limit": 0}]}})
    refused_container(node, "InvalidArgument", "hugepage size", linux={"resources": {"hugepage_limits": [{"page_size": "2XB"}]}})


@test
def test_unified_resources(node):
    value = {"resources": {"unified": {"memory.high": "100000000"}}}
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        with node.pod() as pod:
            pod.run(linux=value)
    else:
        refused_container(node, "InvalidArgument", "unified resources need cgroup v2", linux=value)


@test
def test_target_pid_namespace_shows_the_targets_processes(node):
    with node.pod() as pod:
        target = pod.run(["sleep", "4321"])
        security = {"namespace_options": {"pid": TARGET, "target_id": target.id}}
        debugger = pod.run(name="debug", security=security)
        contains(debugger.sh("ps"), "sleep 4321")
        node.crictl("stop", "--timeout", "0", target.id)
        config = node.container_config(["true"], name="late", security=security)
        node.refused("create", pod.id, node.file(config), pod.path, code="FailedPrecondition", parts="is not running")


@test
def test_annotations_stay_out_of_the_runtimes_spec(node):
    with node.pod(annotations={"pod.key": "1"}) as pod:
        container = pod.run(annotations={"run.oci.hooks.stderr": "/tmp/x", "io.test": "2"})
        found = container.inspect()
        equal(found["info"]["runtimeSpec"].get("annotations") or {}, {}, "annotations of the spec")
        equal(found["status"]["annotations"], {"run.oci.hooks.stderr": "/tmp/x", "io.test": "2"}, "status")


@test
def test_terminal_and_standard_input(node):
    with node.pod() as pod:
        contains(pod.run(["sh", "-c", "tty; sleep 100"], tty=True, stdin=True).log(), "/dev/pts/")
        container = pod.run(["sh", "-c", "cat; echo end"], name="closed")
        equal(container.wait_exit()["exitCode"], 0, "without stdin the input has ended")
        waiting = pod.run(["sh", "-c", "cat; echo end"], name="open", stdin=True)
        equal(waiting.state(), "RUNNING", "with stdin it waits")
