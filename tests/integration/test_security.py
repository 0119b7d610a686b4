# SPDX-License-Identifier: Apache-2.0
"""What keeps a container in: capabilities, seccomp, masked paths, devices."""
import json
import pathlib
import re
import subprocess

from support import environment
from support.node import RUNTIME_DEFAULT, UNCONFINED
from support.suite import contains, equal, test

# CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP and what else is default
NET_RAW, SYS_ADMIN, NET_ADMIN, CHOWN = 13, 21, 12, 0


def field(text, name):
    return re.search(rf"^{name}:\s*(\S+)", text, re.M).group(1)


def status_of(node, security=None, **fields):
    with node.pod() as pod:
        return pod.run(security=security, **fields).sh("cat /proc/self/status")


def capabilities(text, name="CapEff"):
    value = int(field(text, name), 16)
    return {bit for bit in range(64) if value >> bit & 1}


@test
def test_default_capabilities_leave_out_the_dangerous_ones(node):
    found = capabilities(status_of(node))
    assert CHOWN in found and not found & {SYS_ADMIN, NET_ADMIN, 16, 17, 19, 22, 25}, found


@test
def test_capabilities_are_added_and_dropped(node):
    found = capabilities(status_of(node, {"capabilities": {"add_capabilities": ["NET_ADMIN"], "drop_capabilities": ["CAP_CHOWN"]}}))
    assert NET_ADMIN in found and CHOWN not in found, found


@test
def test_dropping_all_capabilities_leaves_none(node):
    text = status_of(node, {"capabilities": {"drop_capabilities": ["ALL"]}})
    for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        equal(capabilities(text, name), set(), name)


@test
def test_ordinary_user_has_no_effective_capabilities(node):
    text = status_of(node, {"run_as_user": {"value": 1000}})
    equal(capabilities(text), set(), "effective")
    equal(capabilities(text, "CapInh"), set(), "inheritable")  # CVE-2022-24769


@test
def test_no_new_privileges_is_set_when_asked(node):
    equal(field(status_of(node, {"no_new_privs": True}), "NoNewPrivs"), "1", "asked")
    equal(field(status_of(node), "NoNewPrivs"), "0", "not asked")


@test
def test_seccomp_filter_is_there_exactly_when_asked(node):
    equal(field(status_of(node, {"seccomp": RUNTIME_DEFAULT}), "Seccomp"), "2", "RuntimeDefault")
    equal(field(status_of(node, {"seccomp": UNCONFINED}), "Seccomp"), "0", "Unconfined")
    equal(field(status_of(node), "Seccomp"), "0", "nothing said")


PROGRAM = "run.oci.seccomp_bpf_data"


def compiled_by_crun(node, config):
    """What crun makes of the rules when it is not given a program: a container of its own, created and deleted."""
    bundle, root = node.work / "own-bundle", node.work / "own-root"
    for name in ("bin", "dev"):
        (bundle / "rootfs" / name).mkdir(parents=True)
    root.mkdir()
    (bundle / "rootfs/bin/sh").write_bytes(pathlib.Path("/usr/bin/busybox").read_bytes())
    (bundle / "rootfs/bin/sh").chmod(0o755)
    spec = {"ociVersion": config["ociVersion"], "root": {"path": str(bundle / "rootfs")},
            "process": {"args": ["/bin/sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"seccomp": config["linux"]["seccomp"], "cgroupsPath": f"{environment.cgroup_parent()}/own",
                      "namespaces": [{"type": "mount"}, {"type": "pid"}]}}
    (bundle / "config.json").write_text(json.dumps(spec))
    # A hybrid host's cgroup2, which crun refuses, and would make directories in.
    script = f"""umount /sys/fs/cgroup/unified 2>/dev/null && mount -t tmpfs tmpfs /sys/fs/cgroup/unified
crun --root {root} create --bundle {bundle} own </dev/null >/dev/null && cat {root}/own/seccomp.bpf; crun --root {root} delete -f own"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout, done.stderr
    return done.stdout


@test
def test_crun_is_given_the_program_that_it_would_make_itself(node):
    with node.pod() as pod:
        container = pod.run(security={"seccomp": RUNTIME_DEFAULT})
        config = json.loads((node.state / "pods" / pod.id / "c" / container.id / "config.json").read_text())
        given = (node.state / "runtime" / "crun" / container.id / "seccomp.bpf").read_bytes()
        assert PROGRAM in config["annotations"] and len(given) > 1000, config.get("annotations")
        own = compiled_by_crun(node, config)
        same = [i for i in range(0, len(own), 8) if own[i:i + 8] == given[i:i + 8]]
        assert given == own, f"{len(given)} and {len(own)} bytes, {len(same)} instructions alike"
        shown = node.json("inspect", container.id)["info"]["runtimeSpec"]
        assert PROGRAM not in shown.get("annotations", {}), "it is nobody's but crun's"
        equal(shown["linux"]["seccomp"], config["linux"]["seccomp"], "the rules are there beside it")
        equal(field(container.sh("cat /proc/self/status"), "Seccomp"), "2", "also of an exec")
    with node.pod(handler="runc") as pod:
        container = pod.run(security={"seccomp": RUNTIME_DEFAULT})
        config = json.loads((node.state / "pods" / pod.id / "c" / container.id / "config.json").read_text())
        assert PROGRAM not in config.get("annotations", {}), "runc has no use for it"


@test
def test_seccomp_profile_of_a_file_is_applied(node):
    profile = node.file({"defaultAction": "SCMP_ACT_ALLOW",
                         "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]})
    security = {"seccomp": {"profile_type": 2, "localhost_ref": str(profile)},
                "capabilities": {"add_capabilities": ["SYS_ADMIN"]}}
    with node.pod() as pod:
        done = pod.run(security=security).exec("hostname", "other", check=False)
        assert done.code != 0, "sethostname was allowed"
        contains(done.text, "not permitted")


@test
def test_proc_and_sys_are_masked_and_read_only(node):
    paths = {"masked_paths": ["/proc/kcore", "/proc/keys", "/sys/firmware"], "readonly_paths": ["/proc/sys", "/proc/bus"]}
    with node.pod() as pod:
        container = pod.run(security=paths)
        equal(container.sh("cat /proc/kcore /proc/keys 2>/dev/null; ls /sys/firmware").strip(), "", "masked")
        contains(container.exec("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward", check=False).text, "Read-only")
        contains(container.exec("sh", "-c", "cd /sys/fs/cgroup/memory 2>/dev/null || cd /sys/fs/cgroup; mkdir x",
                                check=False).text, "Read-only")


@test
def test_container_sees_only_the_ordinary_devices(node):
    with node.pod() as pod:
        names = set(pod.run().sh("ls /dev").split())
        assert {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "fd", "stdin", "stdout", "stderr"} <= names, names
        assert not names & {"kmsg", "mem", "vda", "loop0", "loop-control", "fuse"}, names


@test
def test_device_is_given_when_asked(node):
    device = {"container_path": "/dev/mynull", "host_path": "/dev/null", "permissions": "rw"}
    with node.pod() as pod:
        equal(pod.run(devices=[device]).sh("echo x > /dev/mynull; stat -c '%t %T' /dev/mynull").strip(), "1 3", "device")


@test
def test_set_user_id_program_gains_nothing_without_new_privileges(node):
    node.crictl("pull", "127.0.0.1:5000/test/web:1")
    with node.pod() as pod:
        for number, (forbidden, want) in enumerate(((True, "1000"), (False, "0"))):
            container = pod.run(["nnp"], image="127.0.0.1:5000/test/web:1", name=f"c{number}",
                                security={"run_as_user": {"value": 1000}, "no_new_privs": forbidden})
            container.wait_exit()
            equal(container.log().strip(), f"Effective uid: {want}", f"no_new_privs={forbidden}")
    node.crictl("rmi", "127.0.0.1:5000/test/web:1")


@test
def test_privileged_container_needs_a_privileged_pod(node):
    with node.pod() as pod:
        config = node.container_config(["true"], security={"privileged": True})
        result = node.crictl("create", pod.id, node.file(config), pod.path, check=False)
        assert result.code != 0 and ("InvalidArgument" in result.text or "FailedPrecondition" in result.text), result.text
