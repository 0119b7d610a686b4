# SPDX-License-Identifier: Apache-2.0
"""What kubelets do, so that together every fail point is come by."""
import functools

from matrix import Scenario, kill_monitor


def failing(kubelet, method, request, step):
    """A call that an armed error makes fail; begun again, it is the plain step."""
    def first():
        code, message, _ = kubelet.calls.ask(method, request())
        assert code == "Internal" and "fail point" in message, f"{method}: {code}: {message}"
        step()

    first.again = step
    return first


def whole(kubelet):
    return kubelet.whole()


def used_image(kubelet):
    return kubelet.used_image()


def short(kubelet):
    return kubelet.short()


def changed(kubelet):
    return kubelet.changed()


def failed_run(kubelet):
    return [failing(kubelet, "RunPodSandbox", lambda: {"config": kubelet.config}, kubelet.run), kubelet.stop_pod,
            kubelet.remove_pod]


def failed_create(kubelet):
    def request():
        config = kubelet.node.container_config(["sleep", "1"], name="failing")
        return {"pod_sandbox_id": kubelet.pod, "config": config, "sandbox_config": kubelet.config}

    return [kubelet.run, failing(kubelet, "CreateContainer", request, kubelet.create_a), kubelet.start_a, kubelet.stop_pod,
            kubelet.remove_pod]


def lost_monitor(kubelet):
    return [kubelet.run, kubelet.create_a, kubelet.start_a, functools.partial(kill_monitor, kubelet), kubelet.stop_pod,
            kubelet.remove_pod]


def dying_monitor(kubelet):
    return [kubelet.run, kubelet.create_a, kubelet.start_a, kubelet.stop_a, kubelet.stop_pod, kubelet.remove_pod]


IDS = [{"host_id": 1 << 20, "container_id": 0, "length": 65536}]
ALL = [
    Scenario("pod", whole),
    Scenario("image", used_image),
    Scenario("changed container, with sessions", changed),
    Scenario("failed run", failed_run, armed={"pod.ready.before": "error"}),
    Scenario("failed create", failed_create, armed={"container.created.before": "error"}),
    Scenario("lost monitor", lost_monitor),
    Scenario("monitor that dies at its end", dying_monitor, armed={"monitor.pod.shutdown": "kill"}),
    Scenario("user namespace", short, namespaces={"userns_options": {"mode": 0, "uids": IDS, "gids": IDS}}),
]
