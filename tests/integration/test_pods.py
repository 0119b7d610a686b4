# SPDX-License-Identifier: Apache-2.0
"""Pods: life cycle, namespaces, handlers, what they are told about themselves."""
import os
import re
import subprocess

from support.node import NODE, POD, SLEEP, Pod
from support.suite import contains, equal, test


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


@test
def test_version_names_berth_and_v1(node):
    text = node.crictl("version").out
    contains(text.lower(), "runtimename:  berth", "runtimeapiversion:  v1")


@test
def test_info_says_ready_and_lists_the_handlers(node):
    info = node.json("info")
    conditions = {c["type"]: c["status"] for c in info["status"]["conditions"]}
    equal((conditions["RuntimeReady"], conditions["NetworkReady"]), (True, True), "conditions")
    names = [h.get("name", "") for h in info["runtimeHandlers"]]
    assert {"", "crun", "runc"} <= set(names) and len(names) == len(set(names)), names
    contains(node.crictl("runtime-config").out, "CGROUPFS")


@test
def test_pod_lives_from_ready_to_not_ready_to_gone(node):
    pod = node.pod(labels={"app": "x", "tier": "y"}, annotations={"note": "a b\nc", "utf8": "ä"})
    status = pod.status()
    equal(status["state"], "SANDBOX_READY", "state")
    equal(status["labels"], {"app": "x", "tier": "y"}, "labels")
    equal(status["annotations"], {"note": "a b\nc", "utf8": "ä"}, "annotations")
    assert re.fullmatch(r"10\.88\.\d+\.\d+", status["network"]["ip"]), status["network"]
    equal(node.ids("pods", "--label", "app=x"), [pod.id], "by label")
    equal(node.ids("pods", "--id", pod.id[:12]), [pod.id], "by prefix")
    equal(node.ids("pods", "--state", "notready"), [], "not ready yet")
    node.crictl("stopp", pod.id)
    equal(pod.status()["state"], "SANDBOX_NOTREADY", "state")
    node.crictl("stopp", pod.id)
    node.crictl("rmp", pod.id)
    equal(node.ids("pods"), [], "pods")


@test
def test_trace_says_what_each_step_of_a_start_took(node):
    with node.pod() as pod:
        container = pod.run()
        text = node.berth("trace", pod.id[:13]).out
        contains(text, f"pod {pod.id}", "RunPodSandbox: ", "intent record", "network namespace", "cni ADD bridge", "spawn the monitor",
                 "ready record", f"container {container.id}", "CreateContainer: ", "root file system", "  spec\n",
                 "oci runtime: create", "created record", "StartContainer: ", "oci runtime: start", "running record")
        trace = node.json("inspect", container.id)["info"]["trace"]["CreateContainer"]
        took = {step["step"]: step for step in trace["steps"]}
        own, call = took["oci runtime: create"], took["monitor: create"]
        assert 0 < own["cpuMicros"] and own["tookMicros"] <= call["tookMicros"] <= trace["tookMicros"], trace
        assert call["atMicros"] <= own["atMicros"], trace
        contains(node.berth("trace", container.id).out, f"container {container.id}", "oci runtime: start")
        contains(node.berth("trace", "0" * 64, check=False).err, 'container "' + "0" * 64 + '" not found')
        node.stop_daemon()
        node.start()
        contains(node.berth("trace", pod.id).out, f"pod {pod.id}\n  no trace: it was started before berthd was")


@test
def test_the_same_pod_again_gives_the_same_id(node):
    with node.pod() as pod:
        equal(node.crictl("runp", pod.path).out.strip(), pod.id, "id")
        equal(len(node.ids("pods")), 1, "pods")


@test
def test_stopping_a_pod_stops_its_containers(node):
    with node.pod() as pod:
        container = pod.run(["sleep", "1000"])
        node.crictl("stopp", pod.id)
        equal(container.status()["state"], "CONTAINER_EXITED", "state")
        equal(container.status()["exitCode"], 137, "exit code")


@test
def test_handler_runc_runs_a_pod(node):
    with node.pod(handler="runc") as pod:
        equal(pod.status()["runtimeHandler"], "runc", "handler")
        container = pod.run()
        equal(container.sh("hostname").strip(), container.sh("cat /etc/hostname").strip(),
              "hostname")
        equal(container.exec("false", check=False).code != 0, True, "exec fails")


@test
def test_host_network_pod_has_the_hosts_interfaces_and_no_address(node):
    with node.pod(namespaces={"network": NODE}) as pod:
        equal(pod.status()["network"]["ip"], "", "ip")
        container = pod.run()
        equal(namespace(container.process(), "net"), namespace("self", "net"), "network namespace")
        equal(container.sh("hostname").strip(), os.uname().nodename, "hostname")


@test
def test_host_pid_pod_sees_the_hosts_processes(node):
    with node.pod(namespaces={"pid": NODE}) as pod:
        container = pod.run()
        equal(namespace(container.process(), "pid"), namespace("self", "pid"), "pid namespace")
        equal(container.sh(f"cat /proc/{node.daemon.pid}/comm").strip(), "berthd", "berthd seen from inside")


@test
def test_host_ipc_pod_is_in_the_hosts_ipc_namespace(node):
    with node.pod(namespaces={"ipc": NODE}) as host, node.pod() as own:
        equal(namespace(host.run().process(), "ipc"), namespace("self", "ipc"), "host ipc")
        assert namespace(own.run().process(), "ipc") != namespace("self", "ipc")


@test
def test_containers_of_a_shared_pid_pod_see_each_other_and_are_not_pid_1(node):
    with node.pod(namespaces={"pid": POD}) as pod:
        first = pod.run(["sh", "-c", "exec sleep 4321"], name="first")
        second = pod.run(SLEEP, name="second")
        contains(second.sh("cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '"), "sleep 4321")
        assert "sleep" not in second.sh("cat /proc/1/cmdline"), "a container is PID 1 of the pod"
        equal(namespace(first.process(), "pid"), namespace(second.process(), "pid"), "pid namespace")
        node.crictl("stop", "-t", "0", first.id)
        equal(second.sh("echo still here").strip(), "still here", "the other container")


@test
def test_containers_of_an_ordinary_pod_are_pid_1_and_alone(node):
    with node.pod() as pod:
        pod.run(["sh", "-c", "exec sleep 4321"], name="first")
        second = pod.run(["sh", "-c", "exec sleep 1234"], name="second")
        contains(second.sh("cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 1234")
        assert "4321" not in second.sh("cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '")


@test
def test_containers_of_a_pod_share_network_ipc_and_hostname(node):
    with node.pod(hostname="shared-host") as pod:
        first, second = pod.run(name="first"), pod.run(name="second")
        for kind in ("net", "ipc", "uts"):
            equal(namespace(first.process(), kind), namespace(second.process(), kind), kind)
            assert namespace(first.process(), kind) != namespace("self", kind), kind
        equal(first.sh("hostname; cat /etc/hostname; echo $HOSTNAME").split(), ["shared-host"] * 3, "hostname")
        contains(first.sh("cat /etc/hosts"), "shared-host", "127.0.0.1\tlocalhost")
        first.sh("echo x > /dev/shm/file")
        equal(second.sh("cat /dev/shm/file").strip(), "x", "shared /dev/shm")


@test
def test_resolv_conf_says_what_the_dns_config_says(node):
    dns = {"servers": ["192.0.2.53", "192.0.2.54"], "searches": ["a.test", "b.test"], "options": ["ndots:3"]}
    with node.pod(dns_config=dns) as pod:
        equal(pod.run().sh("cat /etc/resolv.conf").split("\n")[:4],
              ["search a.test b.test", "nameserver 192.0.2.53", "nameserver 192.0.2.54", "options ndots:3"], "resolv.conf")


@test
def test_sysctls_of_the_pod_are_set(node):
    with node.pod(linux={"sysctls": {"net.ipv4.ip_local_port_range": "20000 21000", "kernel.msgmax": "9000"}}) as pod:
        equal(pod.run().sh("cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/msgmax").split(),
              ["20000", "21000", "9000"], "sysctls")


@test
def test_privileged_pod_has_every_capability_and_device(node):
    with node.pod(security={"privileged": True}) as pod:
        container = pod.run(security={"privileged": True})
        bounding = re.search(r"CapBnd:\s*(\w+)", open("/proc/self/status").read()).group(1)
        contains(container.sh("cat /proc/self/status"), f"CapEff:\t{bounding}")
        assert os.path.exists("/dev/kmsg") == ("kmsg" in container.sh("ls /dev"))
        container.sh("mount -t tmpfs none /mnt && umount /mnt")


@test
def test_pod_inspection_shows_what_runs(node):
    with node.pod() as pod:
        value = node.json("inspectp", pod.id)
        assert value["info"]["pid"] > 0, value["info"]
        contains(str(value["info"]["config"]), pod.config["metadata"]["name"])
        equal(value["status"]["metadata"], {**pod.config["metadata"]}, "metadata")


@test
def test_many_pods_at_once(node):
    configs = [node.pod_config() for _ in range(8)]
    runs = [subprocess.Popen(node.command("runp", node.file(c)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for c in configs]
    outputs = [(run.communicate(timeout=50), run.returncode) for run in runs]
    for (_, err), code in outputs:
        assert code == 0, err
    identifiers = [out.strip() for (out, _), _ in outputs]
    equal(sorted(node.ids("pods")), sorted(identifiers), "pods")
    addresses = {node.json("inspectp", i)["status"]["network"]["ip"] for i in identifiers}
    equal(len(addresses), 8, "different addresses")
    node.crictl("rmp", "-fa")


@test
def test_attempts_of_a_pod_are_different_pods(node):
    config = node.pod_config()
    first = Pod(node, config)
    second = Pod(node, {**config, "metadata": {**config["metadata"], "attempt": 1}})
    assert first.id != second.id
    node.crictl("rmp", "-f", first.id, second.id)
