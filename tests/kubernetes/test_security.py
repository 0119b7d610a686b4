# SPDX-License-Identifier: Apache-2.0
"""Namespaces that pods share or not, users, seccomp, sysctls, RuntimeClass."""
import json
import socket
import urllib.request

from cluster import ADDRESS, KUBELET_HOME
from objects import REGISTRY, WEB, container, pod, status_of
from support.suite import contains, equal, eventually, test


def sh(cluster, name, script, *options):
    return cluster.out("exec", name, *options, "--", "sh", "-c", script)


@test(seconds=120)
def test_host_network_and_host_ports(cluster):
    serve = ["httpd", "-f", "-p", "12080", "-h", "/www"]
    cluster.apply(pod("on-host", container(None, image=f"{WEB}:1", command=serve, ports=[{"containerPort": 12080}]), hostNetwork=True),
                  pod("port", container(None, image=f"{WEB}:2", ports=[{"containerPort": 8080, "hostPort": 12081}])))
    for name, port, page in (("on-host", 12080, b"version 1\n"), ("port", 12081, b"version 2\n")):
        cluster.wait_pod(name)
        with urllib.request.urlopen(f"http://{ADDRESS}:{port}/", timeout=20) as answer:
            equal(answer.read(), page, name)
    equal(cluster.pod_status("on-host")["podIP"], ADDRESS, "address")
    equal(sh(cluster, "on-host", "hostname").strip(), cluster.files.read("/proc/sys/kernel/hostname").strip(), "hostname")
    cluster.delete("pod", "port")

    def is_closed():
        with socket.socket() as probe:
            return probe.connect_ex((ADDRESS, 12081)) != 0
    eventually(is_closed, 90, 0.5)


@test(seconds=120)
def test_processes_are_shared_when_the_pod_says_so(cluster):
    two = lambda: (container("exec sleep 1234"), container(name="other"))
    cluster.apply(pod("shares", *two(), shareProcessNamespace=True), pod("apart", *two()), pod("of-host", container(), hostPID=True))
    for name in ("shares", "apart", "of-host"):
        cluster.wait_pod(name)
    seen = lambda name: "1234" in sh(cluster, name, "ps -o args", "-c", "other")
    equal((seen("shares"), seen("apart")), (True, False), "seen by the other container")
    contains(sh(cluster, "of-host", "ps -o args"), "kubelet --config")


@test(seconds=120)
def test_a_user_namespace_of_its_own(cluster):
    volume = {"name": "v", "emptyDir": {}}
    cluster.apply(pod("mapped", container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), hostUsers=False, volumes=[volume]))
    cluster.wait_pod("mapped", seconds=90)
    inside, outside, length = sh(cluster, "mapped", "cat /proc/self/uid_map").split()
    equal((inside, length), ("0", "65536"), "map")
    assert int(outside) >= 65536 and int(outside) % 65536 == 0, outside
    equal(sh(cluster, "mapped", "touch /v/x /root/y && stat -c %u /v/x /root/y && id -u"), "0\n0\n0\n", "owners inside")
    uid = cluster.get("pod", "mapped")["metadata"]["uid"]
    file = KUBELET_HOME / "pods" / uid / "volumes/kubernetes.io~empty-dir/v/x"
    equal(cluster.files.owner(file), 0, "owner in the volume, whose ids are shifted by its mount")
    full = status_of(cluster.pod_status("mapped"), "main")["containerID"].partition("://")[2]
    process = cluster.node.json("inspect", full)["info"]["pid"]
    status = cluster.files.read(f"/proc/{process}/status").splitlines()
    uids = next(line.split() for line in status if line.startswith("Uid:"))
    equal(uids[1], outside, "the process's user on the host")


@test(seconds=120)
def test_users_capabilities_and_seccomp(cluster):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
    cluster.files.write(KUBELET_HOME / "seccomp" / "no-mkdir.json", json.dumps(profile))
    secured = lambda **fields: container(securityContext=fields)
    cluster.apply(pod("nobody", secured(runAsUser=1234, runAsGroup=3000, allowPrivilegeEscalation=False,
                                        capabilities={"drop": ["ALL"]}, readOnlyRootFilesystem=True),
                      securityContext={"fsGroup": 4000, "supplementalGroups": [5000]}),
                  pod("no-mkdir", secured(seccompProfile={"type": "Localhost", "localhostProfile": "no-mkdir.json"})),
                  pod("default", secured(seccompProfile={"type": "RuntimeDefault"})),
                  pod("unconfined", secured(seccompProfile={"type": "Unconfined"})),
                  pod("privileged", secured(privileged=True)),
                  pod("no-root", secured(runAsNonRoot=True)),
                  pod("image-user", container(image=f"{REGISTRY}/test/user:1", securityContext={"runAsNonRoot": True})),
                  pod("image-user-id", container(image=f"{REGISTRY}/test/user:1", securityContext={"runAsNonRoot": True, "runAsUser": 1000})))
    for name in ("nobody", "no-mkdir", "default", "unconfined", "privileged", "image-user-id"):
        cluster.wait_pod(name)
    equal(sh(cluster, "nobody", "id -u; id -g; id -G | tr ' ' '\\n' | sort | tr '\\n' ' '"), "1234\n3000\n3000 4000 5000 ", "ids")
    equal(sh(cluster, "nobody", "grep -E 'CapEff|NoNewPrivs' /proc/1/status"), "CapEff:\t0000000000000000\nNoNewPrivs:\t1\n", "status")
    contains(cluster.kubectl("exec", "nobody", "--", "touch", "/x", check=False).stderr, "Read-only file system")
    contains(cluster.kubectl("exec", "no-mkdir", "--", "mkdir", "/tmp/x", check=False).stderr, "Operation not permitted")
    filtered = lambda name: sh(cluster, name, "grep ^Seccomp: /proc/1/status").split()[1]
    equal([filtered(name) for name in ("default", "unconfined", "privileged")], ["2", "0", "0"], "seccomp")
    sh(cluster, "privileged", "mount -t tmpfs none /mnt && mount | grep -q ' /mnt '")
    for name, why in (("no-root", "container has runAsNonRoot and image will run as root"),
                      ("image-user", "container has runAsNonRoot and image has non-numeric user (alice)")):
        eventually(lambda name=name: "CreateContainerConfigError" in str(cluster.pod_status(name)), 30, 0.5)
        contains(str(cluster.events(name)), why)
    cluster.expect("runAsNonRoot")


@test(seconds=120)
def test_sysctls(cluster):
    safe, unsafe = "net.ipv4.ip_unprivileged_port_start", "net.core.somaxconn"
    cluster.apply(pod("tuned", container(), securityContext={"sysctls": [{"name": safe, "value": "80"}, {"name": unsafe, "value": "77"}]}),
                  pod("refused", container(), securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}))
    cluster.wait_pod("tuned")
    equal(sh(cluster, "tuned", f"sysctl -n {safe} {unsafe}"), "80\n77\n", "values")
    cluster.wait_phase("refused", "Failed")
    equal(cluster.pod_status("refused")["reason"], "SysctlForbidden", "reason")


@test(seconds=120)
def test_runtime_classes_choose_the_handler(cluster):
    classes = [{"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler}
               for name, handler in (("with-crun", "crun"), ("with-runc", "runc"), ("with-nothing", "no-such-handler"))]
    cluster.apply(*classes)
    cluster.apply(*[pod(name, container(), runtimeClassName=name) for name in ("with-crun", "with-runc", "with-nothing")])
    for name, handler in (("with-crun", "crun"), ("with-runc", "runc")):
        cluster.wait_pod(name)
        equal(sh(cluster, name, "echo works"), "works\n", name)
        sandbox = cluster.node.json("pods", "-o", "json", "--name", name)["items"][0]
        equal(sandbox["runtimeHandler"], handler, name)
    eventually(lambda: "FailedCreatePodSandBox" in str(cluster.events("with-nothing")), 30, 0.5)
    contains(str(cluster.events("with-nothing")), "no-such-handler")
    cluster.expect("no-such-handler")
