# SPDX-License-Identifier: Apache-2.0
"""Pods with a user namespace: who is who, files and volumes, what is shared, restarts, both OCI runtimes."""
import os
import shutil
import subprocess

from support.suite import contains, equal, test

BASE, COUNT = 1 << 20, 65536
MAP = [{"host_id": BASE, "container_id": 0, "length": COUNT}]
USERNS = {"userns_options": {"mode": 0, "uids": MAP, "gids": MAP}}
IDS = {"uidMappings": MAP, "gidMappings": MAP}
VOLUME = "127.0.0.1:5000/test/plain:1"


def pod_of(node, handler=None, **more):
    return node.pod(handler, namespaces={**USERNS, **more})


def namespace(pid, name):
    return os.readlink(f"/proc/{pid}/ns/{name}")


def basics(node, handler):
    with pod_of(node, handler) as pod:
        first = pod.run(name="first")
        second = pod.run(name="second")
        equal(first.sh("cat /proc/self/uid_map").split(), ["0", str(BASE), str(COUNT)], "uid_map")
        equal(first.sh("cat /proc/self/gid_map").split(), ["0", str(BASE), str(COUNT)], "gid_map")
        pids = [container.process() for container in (first, second)]
        equal(os.stat(f"/proc/{pids[0]}").st_uid, BASE, "owner of the process on the host")
        for name in ("user", "net", "ipc", "uts"):
            equal(namespace(pids[0], name), namespace(pids[1], name), f"{name} namespace shared")
            assert namespace(pids[0], name) != namespace("self", name), f"{name} namespace is the host's"
        # The image's owners, also of what is copied up and of new files.
        equal(first.sh("stat -c %u:%g /data/changed /etc /etc/hosts /etc/resolv.conf /etc/hostname /dev/shm").split(),
              ["1000:1001"] + ["0:0"] * 5, "owners")
        first.sh("chown 5:6 /data/kept && touch /data/mine && echo '10.0.0.1 x' >> /etc/hosts")
        equal(first.sh("stat -c %u:%g /data/kept /data/mine").split(), ["5:6", "0:0"], "owners after writing")
        upper = node.root / "containers" / first.id / "diff"
        equal(os.stat(upper / "data/mine").st_uid, BASE, "a new file on disk")
        contains(first.exec("sh", "-c", "echo 1 > /proc/sys/kernel/core_pattern", check=False).text, "can't create")
        contains(first.sh("ip addr show lo; hostname"), "127.0.0.1")


@test
def test_root_of_the_pod_is_nobody_on_the_host(node):
    basics(node, None)


@test
def test_the_same_with_runc(node):
    basics(node, "runc")


@test
def test_programs_can_open_their_own_output(node):
    with pod_of(node) as pod:
        container = pod.run(["sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr; sleep 1000"],
                            security={"run_as_user": {"value": 1234}})
        container.sh("echo x > /dev/stdout")
        equal(sorted(text for _, _, text in container.lines()), ["err", "out"], "log")


@test
def test_volumes_have_the_pods_ids(node):
    path = node.work / "shifted"
    path.mkdir()
    try:
        (path / "file").write_text("x\n")
        os.chown(path / "file", 7, 8)
        volume = {"container_path": "/vol", "host_path": str(path)}
        one = {"container_path": "/etc/one", "host_path": str(path / "file"), "readonly": True}
        for handler in (None, "runc"):
            with pod_of(node, handler) as pod:
                container = pod.run(mounts=[{**volume, **IDS}, {**one, **IDS}, {**volume, "container_path": "/plain"}])
                equal(container.sh("stat -c %u:%g /vol/file /etc/one").split(), ["7:8"] * 2, "owners")
                equal(container.sh("stat -c %u /plain/file").strip(), "65534", "without mappings")
                container.sh("touch /vol/new; chown 3:4 /vol/new")
                made = os.stat(path / "new")
                equal((made.st_uid, made.st_gid), (3, 4), "a new file on the host")
                (path / "new").unlink()
                contains(container.exec("touch", "/etc/one", check=False).text, "Read-only")
                told = container.status()["mounts"][0]
                equal((told["hostPath"], told["uidMappings"][0]["hostId"]), (str(path), BASE), "status")
    finally:
        shutil.rmtree(path)


@test
def test_image_volume_in_a_user_namespace(node):
    node.crictl("pull", VOLUME)
    for handler in (None, "runc"):
        with pod_of(node, handler) as pod:
            container = pod.run(mounts=[{"container_path": "/vol", "image": {"image": VOLUME}, "readonly": True, **IDS}],
                                security={"readonly_rootfs": True})
            equal(container.sh("stat -c %u:%g /vol /vol/plain").split(), ["0:0"] * 2, "owners")
            contains(container.exec("sh", "-c", "echo x >> /etc/hosts", check=False).text, "Read-only")
    node.crictl("rmi", VOLUME)


@test
def test_shared_pid_namespace_belongs_to_the_user_namespace(node):
    with node.pod(namespaces={**USERNS, "pid": 0}) as pod:
        first = pod.run(name="first", security={"namespace_options": {"pid": 0}})
        second = pod.run(name="second", security={"namespace_options": {"pid": 0}})
        contains(second.sh("ps"), "berth-init")
        equal(namespace(first.process(), "pid"), namespace(second.process(), "pid"), "pid namespace")
        equal(second.sh("stat -c %u /proc/1").strip(), "0", "owner of the init")


@test
def test_host_network_with_a_user_namespace(node):
    with pod_of(node, network=2) as pod:
        container = pod.run()
        equal(namespace(container.process(), "net"), namespace("self", "net"), "network namespace")
        contains(container.exec("sh", "-c", "mkdir /sys/x", check=False).text, "Read-only")


@test
def test_ipc_sysctls_are_set_in_the_pods_namespace(node):
    sysctls = {"kernel.shm_rmid_forced": "1", "net.ipv4.ip_forward": "1"}
    with node.pod(namespaces=USERNS, linux={"sysctls": sysctls}) as pod:
        container = pod.run()
        equal(container.sh("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward").split(), ["1", "1"], "sysctls")


@test
def test_user_namespace_survives_a_restart(node):
    with pod_of(node) as pod:
        old = pod.run(name="old")
        node.restart()
        equal(old.sh("id -u").strip(), "0", "exec")
        new = pod.run(name="new")
        equal(namespace(old.process(), "user"), namespace(new.process(), "user"), "user namespace")
        equal(new.sh("stat -c %u:%g /data/changed").strip(), "1000:1001", "owner")
        told = node.json("inspectp", pod.id)["status"]["linux"]["namespaces"]["options"]["usernsOptions"]
        equal(told["uids"][0]["hostId"], BASE, "status")


@test
def test_what_may_not_be_asked_is_refused(node):
    def mapped(*maps):
        return {"userns_options": {"mode": 0, "uids": list(maps), "gids": list(maps)}}

    cases = [(mapped(*MAP, *MAP), "exactly one"), (mapped({**MAP[0], "container_id": 1}), "container id 0 is not mapped"),
             ({"userns_options": {"mode": 1}}, "neither POD nor NODE"), ({"userns_options": {"mode": 3}}, "neither POD nor NODE"),
             ({**USERNS, "pid": 2}, "host's pid or ipc"), ({**USERNS, "ipc": 2}, "host's pid or ipc")]
    for number, (namespaces, text) in enumerate(cases):
        config = node.pod_config(f"bad-{number}", namespaces=namespaces)
        node.refused("runp", node.file(config), code="InvalidArgument", parts=text)
    with pod_of(node) as pod:
        config = node.container_config(["true"], security={"run_as_user": {"value": COUNT}})
        node.refused("create", pod.id, node.file(config), pod.path, code="InvalidArgument", parts="not in the pod's user namespace")
        other = [{**MAP[0], "host_id": 5}]
        bad = {"container_path": "/v", "host_path": "/tmp", "uidMappings": other, "gidMappings": other}
        config = node.container_config(["true"], mounts=[bad])
        node.refused("create", pod.id, node.file(config), pod.path, code="InvalidArgument", parts="not those of the pod")
        equal(node.ids("ps", "-a", "--pod", pod.id), [], "containers")


@test
def test_handlers_announce_user_namespaces(node):
    info = node.json("info")
    assert all(h["features"]["user_namespaces"] for h in info["runtimeHandlers"]), info["runtimeHandlers"]


@test
def test_a_dead_monitor_leaves_nothing_of_the_user_namespace(node):
    with pod_of(node) as pod:
        container = pod.run()
        monitor = node.json("inspectp", pod.id)["info"]["pid"]
        subprocess.run(["kill", "-9", str(monitor)], check=True)
        node.crictl("stopp", pod.id)
        node.crictl("rm", "-f", container.id)
