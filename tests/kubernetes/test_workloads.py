# SPDX-License-Identifier: Apache-2.0
"""Deployments, init and sidecar containers, restart policies."""
import time

from cluster import patient
from objects import BUSYBOX, WEB, container, deployment, pod, status_of
from support.suite import contains, equal, eventually, test


def served(cluster, name):
    """What each pod of a deployment serves, asked from within it."""
    found = []
    for one in cluster.get("pods", "-l", f"app={name}")["items"]:
        if one["status"]["phase"] == "Running" and "deletionTimestamp" not in one["metadata"]:
            found.append(cluster.out("exec", one["metadata"]["name"], "--", "wget", "-qO-", "http://127.0.0.1:8080/").strip())
    return found


@test(seconds=240)
def test_a_deployment_is_rolled_out_and_back(cluster):
    ready = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 10}
    cluster.apply(deployment("rolled", f"{WEB}:1", readinessProbe=ready))

    def is_out(version):
        cluster.kubectl("rollout", "status", "deployment/rolled", f"--timeout={patient(100)}s", timeout=120)
        eventually(lambda: served(cluster, "rolled") == [f"version {version}"] * 2, 30, 1)

    is_out(1)
    cluster.kubectl("set", "image", "deployment/rolled", f"main={WEB}:2")
    is_out(2)
    cluster.kubectl("rollout", "undo", "deployment/rolled")
    is_out(1)
    status = cluster.get("deployment", "rolled")["status"]
    equal((status["availableReplicas"], status["updatedReplicas"]), (2, 2), "replicas")


@test(seconds=120)
def test_init_and_sidecar_containers_run_in_their_order(cluster):
    shared = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    say = lambda word: f"echo {word} >>/shared/order"
    sidecar = container(f"{say('sidecar')}; trap '{say('sidecar-ends')}; exit 0' TERM; touch /shared/up; while :; do sleep 0.1; done",
                        "sidecar", restartPolicy="Always", startupProbe={"exec": {"command": ["test", "-e", "/shared/up"]},
                                                                         "periodSeconds": 1, "timeoutSeconds": 20}, **shared)
    cluster.apply(pod("ordered", container(f"{say('main')}; sleep 1; {say('main-ends')}", **shared), restartPolicy="Never",
                      initContainers=[container(say("first"), "first", **shared), sidecar, container(say("second"), "second", **shared)],
                      volumes=[{"name": "shared", "hostPath": {"path": str(cluster.node_work / "ordered"), "type": "DirectoryOrCreate"}}]))
    cluster.wait_phase("ordered", "Succeeded", 60)
    order = cluster.files.read(cluster.node_work / "ordered" / "order").split()
    equal(order, ["first", "sidecar", "second", "main", "main-ends", "sidecar-ends"], "order")
    status = cluster.pod_status("ordered")
    for name in ("first", "second"):
        equal(status_of(status, name, "initContainerStatuses")["state"]["terminated"]["reason"], "Completed", name)


@test(seconds=120)
def test_a_failing_init_container_holds_the_pod_back(cluster):
    cluster.apply(pod("held", container("echo never"), restartPolicy="Never", initContainers=[container("exit 3", "failing")]))
    cluster.wait_phase("held", "Failed")
    status = cluster.pod_status("held")
    ended = status_of(status, "failing", "initContainerStatuses")["state"]["terminated"]
    equal((ended["exitCode"], ended["reason"]), (3, "Error"), "init container")
    equal(status_of(status, "main")["state"]["waiting"]["reason"], "PodInitializing", "main container")


@test(seconds=180)
def test_restart_policies_and_back_off(cluster):
    cluster.apply(pod("never", "exit 4", restartPolicy="Never"), pod("on-failure", "exit 0", restartPolicy="OnFailure"),
                  pod("again", "exit 5", restartPolicy="OnFailure"), pod("always", "exit 0"),
                  pod("missing", container(None, command=["/no/such/program"]), restartPolicy="Never"))
    cluster.wait_phase("never", "Failed")
    cluster.wait_phase("on-failure", "Succeeded")
    cluster.wait_phase("missing", "Failed")
    equal(status_of(cluster.pod_status("never"), "main")["state"]["terminated"]["exitCode"], 4, "exit code")
    equal(status_of(cluster.pod_status("never"), "main")["restartCount"], 0, "restarts with Never")
    equal(status_of(cluster.pod_status("on-failure"), "main")["restartCount"], 0, "restarts of what worked with OnFailure")
    ended = status_of(cluster.pod_status("missing"), "main")["state"]["terminated"]
    equal(ended["reason"], "StartError", "reason")
    equal(ended["exitCode"], 128, "exit code of what could not start")
    contains(ended["message"], "/no/such/program")
    cluster.expect("no/such/program")

    def is_in_back_off(name, code):
        status = status_of(cluster.pod_status(name), "main")
        waiting = status["state"].get("waiting", {})
        equal((waiting.get("reason"), status["restartCount"] >= 2), ("CrashLoopBackOff", True), name)
        equal(status["lastState"]["terminated"]["exitCode"], code, "last exit code")
        contains(waiting["message"], "back-off", "restarting failed container=main")
        return True

    eventually(lambda: is_in_back_off("again", 5), 60, 0.3)
    eventually(lambda: is_in_back_off("always", 0), 60, 0.3)
    contains(str(cluster.events("again")), "BackOff", BUSYBOX)


@test(seconds=120)
def test_an_exit_while_the_kubelet_looks_away_is_not_lost(cluster):
    """It comes back with the container's own code, and a restart of it is counted once."""
    cluster.apply(pod("away", "sleep 3; exit 7", restartPolicy="Never"))
    cluster.wait_pod("away")
    cluster.stop_kubelet()
    time.sleep(4)
    cluster.start_kubelet()
    cluster.wait_phase("away", "Failed", 90)
    status = status_of(cluster.pod_status("away"), "main")
    equal((status["state"]["terminated"]["exitCode"], status["restartCount"]), (7, 0), "exit code, restarts")
