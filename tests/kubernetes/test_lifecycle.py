# SPDX-License-Identifier: Apache-2.0
"""How pods end; resources, their change in place, and running out of memory."""
import time

from cluster import patient
from objects import container, pod, status_of
from support.suite import contains, equal, eventually, test

STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.2; done"


# What bounds memory, processor time in 100 ms and the share of it: controller, file, on version 1 of control groups and on 2.
FILES = {"memory": (("memory", "memory.limit_in_bytes"), ("", "memory.max")),
         "quota": (("cpu", "cpu.cfs_quota_us"), ("", "cpu.max")), "shares": (("cpu", "cpu.shares"), ("", "cpu.weight"))}


def groups_of(cluster, name):
    """The control groups of a pod's only container, as the node sees them: controller -> path; version 2 alone: "" -> path."""
    full = status_of(cluster.pod_status(name), "main")["containerID"].partition("://")[2]
    process = cluster.node.json("inspect", full)["info"]["pid"]
    lines = [line.split(":", 2) for line in cluster.files.read(f"/proc/{process}/cgroup").splitlines()]
    if len(lines) == 1:
        return {"": f"/sys/fs/cgroup{lines[0][2]}"}
    return {one: f"/sys/fs/cgroup/{one}{path}" for _, controllers, path in lines for one in controllers.split(",") if one}


def limits_of(cluster, name):
    """(bytes of memory, us of processor time in 100 ms, share)."""
    groups = groups_of(cluster, name)
    values = [cluster.files.read(f"{groups[controller]}/{file}") for controller, file in (places["" in groups] for places in FILES.values())]
    return tuple(int(value.split()[0]) for value in values)


def share(cluster, shares):
    """As version 2 has them, crun and runc of 2023 and systemd reckon 1 to 10000 for 2 to 262144 shares."""
    return shares if cluster.cgroup_version == 1 else 1 + (shares - 2) * 9999 // 262142


@test(seconds=180)
def test_pods_end_gracefully_or_by_force(cluster):
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >>/keep/log"]}}}
    keep = {"volumeMounts": [{"name": "keep", "mountPath": "/keep"}]}
    volumes = [{"name": "keep", "hostPath": {"path": str(cluster.node_work / "ended"), "type": "DirectoryOrCreate"}}]
    polite = "trap 'echo term >>/keep/log; sleep 1; echo done >>/keep/log; exit 0' TERM; while :; do sleep 0.1; done"
    cluster.apply(pod("polite", container(polite, lifecycle=hook, **keep), volumes=volumes, terminationGracePeriodSeconds=30),
                  pod("stubborn", container(STUBBORN), terminationGracePeriodSeconds=3),
                  pod("forced", container(STUBBORN), terminationGracePeriodSeconds=60))
    for name in ("polite", "stubborn", "forced"):
        cluster.wait_pod(name)
    cluster.kubectl("delete", "pod", "polite", f"--timeout={patient(60)}s")
    equal(cluster.files.read(cluster.node_work / "ended" / "log"), "hook\nterm\ndone\n", "in this order")
    began = time.monotonic()
    cluster.kubectl("delete", "pod", "stubborn", f"--timeout={patient(60)}s")
    assert time.monotonic() - began >= 3, "it was killed before its grace period was over"
    process = cluster.node.json("ps", "-o", "json", "--name", "main")["containers"]
    forced = next(one for one in process if one["labels"]["io.kubernetes.pod.name"] == "forced")["id"]
    cluster.kubectl("delete", "pod", "forced", "--force", "--grace-period=0")
    equal(cluster.kubectl("get", "pod", "forced", check=False).returncode, 1, "the pod is gone at once")
    eventually(lambda: forced not in cluster.node.ids("ps"), 60, 0.5)


@test(seconds=120)
def test_post_start_hooks(cluster):
    hook = lambda script: {"postStart": {"exec": {"command": ["sh", "-c", script]}}}
    cluster.apply(pod("hooked", container(lifecycle=hook("echo begun >/tmp/hook"))),
                  pod("bad-hook", container(lifecycle=hook("echo broken; exit 4")), restartPolicy="Never"))
    cluster.wait_pod("hooked")
    equal(cluster.out("exec", "hooked", "--", "cat", "/tmp/hook"), "begun\n", "hook")
    eventually(lambda: "FailedPostStartHook" in str(cluster.events("bad-hook")), 60, 0.5)
    contains(str(cluster.events("bad-hook")), "PostStartHook failed")
    cluster.expect("PostStart")


@test(seconds=120)
def test_limits_reach_the_control_groups(cluster):
    limits = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    cluster.apply(pod("limited", container(resources=limits)))
    cluster.wait_pod("limited")
    equal(cluster.pod_status("limited")["qosClass"], "Burstable", "class")
    equal(limits_of(cluster, "limited"), (64 << 20, 50000, share(cluster, 102)), "memory, quota, shares")
    uid = cluster.get("pod", "limited")["metadata"]["uid"]
    file = cluster.pod_group("burstable", uid, "memory") / FILES["memory"][cluster.cgroup_version - 1][1]
    equal(cluster.files.read(file).strip(), str(64 << 20), "the pod's memory")


@test(seconds=180)
def test_resources_are_changed_in_place(cluster):
    policy = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}, {"resourceName": "memory", "restartPolicy": "NotRequired"}]
    first = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    cluster.apply(pod("resized", container(resources=first, resizePolicy=policy)))
    cluster.wait_pod("resized")
    patch = '{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"300m","memory":"48Mi"},' \
            '"limits":{"cpu":"400m","memory":"96Mi"}}}]}}'
    cluster.kubectl("patch", "pod", "resized", "--subresource", "resize", "--patch", patch)

    def is_resized():
        status = status_of(cluster.pod_status("resized"), "main")
        equal(status["resources"], {"requests": {"cpu": "300m", "memory": "48Mi"}, "limits": {"cpu": "400m", "memory": "96Mi"}}, "status")
        equal(limits_of(cluster, "resized"), (96 << 20, 40000, share(cluster, 307)), "memory, quota, shares")
        equal(status["restartCount"], 0, "restarts")
        return True
    eventually(is_resized, 90, 0.5)


@test(seconds=180)
def test_running_out_of_memory_is_told(cluster):
    eat = "sleep 1; head -c 200m /dev/zero | tail"
    cluster.apply(pod("eater", container(eat, resources={"limits": {"memory": "24Mi"}}), restartPolicy="Never"))
    cluster.wait_phase("eater", "Failed", 90)
    ended = status_of(cluster.pod_status("eater"), "main")["state"]["terminated"]
    equal((ended["reason"], ended["exitCode"]), ("OOMKilled", 137), "reason, exit code")


@test(seconds=120)
def test_an_active_deadline_ends_the_pod(cluster):
    cluster.apply(pod("deadline", container(), activeDeadlineSeconds=3, restartPolicy="Never"))
    cluster.wait_phase("deadline", "Failed")
    equal(cluster.pod_status("deadline")["reason"], "DeadlineExceeded", "reason")
