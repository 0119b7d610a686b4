# SPDX-License-Identifier: Apache-2.0
"""Version 2 of control groups with the systemd driver, and AppArmor; tests/vm alone runs these."""
from objects import container, pod, status_of
from support.suite import contains, equal, eventually, test
from test_lifecycle import groups_of

MIB = 1 << 20
PAGE = 4096
PROFILE = """profile berth-test-no-proc flags=(attach_disconnected) {
  capability, network, mount, umount, signal, ptrace, file,
  deny /etc/passwd r,
}
"""


def resources(requests, limits=None):
    return {"resources": {"requests": requests, "limits": limits or requests}}


CLASSES = {"guaranteed": resources({"cpu": "100m", "memory": "48Mi"}),
           "burstable": resources({"cpu": "100m", "memory": "32Mi"}, {"cpu": "500m", "memory": "64Mi"}), "besteffort": {}}
HIGH = (32 * MIB + int(0.9 * 32 * MIB)) // PAGE * PAGE  # of the burstable one: memoryThrottlingFactor is 0.9
MEMORY = {"guaranteed": {"memory.min": 48 * MIB, "memory.low": 0, "memory.high": "max", "memory.max": 48 * MIB},
          "burstable": {"memory.min": 0, "memory.low": 32 * MIB, "memory.high": HIGH, "memory.max": 64 * MIB}}


def values(cluster, group, names):
    texts = cluster.vm.run("sh", "-c", 'cd "$0" && cat "$@"', group, *names).out.split()
    return {name: int(text) if text.isdigit() else text for name, text in zip(names, texts, strict=True)}


@test(seconds=180)
def test_each_container_has_a_scope_in_its_pods_slice_with_memory_qos(cluster):
    for name, fields in CLASSES.items():
        cluster.apply(pod(name, container(**fields)))
    groups = {}
    for name in CLASSES:
        cluster.wait_pod(name)
        status, uid = cluster.pod_status(name), cluster.get("pod", name)["metadata"]["uid"]
        equal(status["qosClass"].lower(), name, "class")
        full = status_of(status, "main")["containerID"].partition("://")[2]
        groups[name] = groups_of(cluster, name)[""]
        # crun puts the container's init, and the limits, into a group of its own below the scope.
        equal(groups[name].removesuffix("/container"), f"{cluster.pod_group(name, uid, '')}/crio-{full}.scope", "group")
    for after in ("the start", "a daemon-reload"):
        for name, wanted in MEMORY.items():
            equal(values(cluster, groups[name], wanted), wanted, f"{name}, after {after}")
        equal(values(cluster, groups["burstable"], ["memory.oom.group"]), {"memory.oom.group": 1}, "killed together")
        cluster.vm.run("systemctl", "daemon-reload")  # systemd writes again what it knows of
    uid = cluster.get("pod", "burstable")["metadata"]["uid"]
    pod_group = cluster.pod_group("burstable", uid, "")
    equal(values(cluster, pod_group, ["memory.low", "memory.max"]), {"memory.low": 32 * MIB, "memory.max": 64 * MIB}, "the pod's")
    cluster.delete("pods", *CLASSES)
    eventually(lambda: cluster.vm.run("test", "-e", pod_group, ok=False).code != 0, 60, 1)


@test(seconds=180)
def test_apparmor_profiles(cluster):
    profile = cluster.node_work / "profile"
    cluster.files.write(profile, PROFILE)
    cluster.vm.run("apparmor_parser", "-r", profile)
    kinds = {"default": {"type": "RuntimeDefault"}, "own": {"type": "Localhost", "localhostProfile": "berth-test-no-proc"},
             "unconfined": {"type": "Unconfined"}, "absent": {"type": "Localhost", "localhostProfile": "no-such-profile"}}
    try:
        cluster.apply(*[pod(f"armour-{name}", container(securityContext={"appArmorProfile": kind})) for name, kind in kinds.items()],
                      pod("armour-none", container()))
        for name, wanted in (("default", "berth-default (enforce)"), ("own", "berth-test-no-proc (enforce)"), ("unconfined", "unconfined"),
                             ("none", "berth-default (enforce)")):
            cluster.wait_pod(f"armour-{name}")
            equal(cluster.out("exec", f"armour-{name}", "--", "cat", "/proc/self/attr/current").strip(), wanted, name)
        contains(cluster.kubectl("exec", "armour-own", "--", "cat", "/etc/passwd", check=False).stderr, "Permission denied")
        contains(cluster.out("exec", "armour-default", "--", "cat", "/etc/passwd"), "root:")
        eventually(lambda: "no-such-profile" in str(status_of(cluster.pod_status("armour-absent"), "main")["state"]), 60, 0.5)
        cluster.expect("no-such-profile")
    finally:
        cluster.sweep()
        cluster.vm.run("apparmor_parser", "-R", profile)


@test(seconds=240)
def test_pods_live_through_a_restart_of_the_service(cluster):
    """What the service manager does to it on an update, under the eyes of a kubelet."""
    cluster.apply(pod("stays", container()), pod("ends", container("sleep 5; exit 3"), restartPolicy="Never"))
    cluster.wait_pod("stays")
    before = status_of(cluster.pod_status("stays"), "main")
    cluster.vm.run("systemctl", "restart", "berth.service", seconds=300)
    cluster.apply(pod("next", container()))
    cluster.wait_pod("next", seconds=90)
    cluster.wait_phase("ends", "Failed")
    equal(status_of(cluster.pod_status("ends"), "main")["state"]["terminated"]["exitCode"], 3, "exit code")
    after = status_of(cluster.pod_status("stays"), "main")
    for field in ("containerID", "restartCount", "state"):
        equal(after[field], before[field], field)
    equal(cluster.out("exec", "stays", "--", "echo", "lives"), "lives\n", "exec")
    cluster.expect(r"connect: (connection refused|no such file)|code = Unavailable|error reading from server|context canceled|transport")
