# SPDX-License-Identifier: Apache-2.0
"""Static pods, restarts of the kubelet and of berthd, events instead of lists, statistics."""
import json
import re
import time
import urllib.request

from cluster import NODE
from objects import WEB, container, pod, status_of
from support.suite import contains, equal, eventually, test

SUMMARY = f"/api/v1/nodes/{NODE}/proxy/stats/summary"


def summary_of(cluster, name):
    pods = json.loads(cluster.raw(SUMMARY))["pods"]
    return next((one for one in pods if one["podRef"]["name"] == name), None)


@test(seconds=120)
def test_static_pods(cluster):
    path = cluster.manifests / "static.json"
    cluster.files.write(path, json.dumps(pod("static", container("echo static; " + container()["command"][2]))))
    name = f"static-{NODE}"
    eventually(lambda: cluster.kubectl("get", "pod", name, check=False).returncode == 0, 60, 0.5)
    cluster.wait_pod(name)
    equal(cluster.out("logs", name), "static\n", "log")
    first = cluster.pod_status(name)["containerStatuses"][0]["containerID"]
    cluster.files.write(path, json.dumps(pod("static", container("echo changed; " + container()["command"][2]))))

    def is_changed():
        statuses = cluster.pod_status(name).get("containerStatuses")
        return statuses and statuses[0].get("containerID", first) != first and cluster.out("logs", name) == "changed\n"
    eventually(is_changed, 60, 0.5)
    cluster.files.remove(path)
    eventually(lambda: cluster.kubectl("get", "pod", name, check=False).returncode != 0, 60, 0.5)


@test(seconds=240)
def test_pods_live_through_restarts_of_kubelet_and_berthd(cluster):
    counts = "i=0; trap 'exit 0' TERM; while :; do i=$((i+1)); echo $i; sleep 0.1; done"
    cluster.apply(pod("counts", container(counts)))
    cluster.wait_pod("counts")
    before = cluster.pod_status("counts")
    cluster.stop_kubelet()
    cluster.start_kubelet()
    cluster.wait_node_ready()
    cluster.node.kill()
    cluster.apply(pod("meanwhile", container()))
    time.sleep(2)
    cluster.node.start()
    cluster.wait_pod("meanwhile", seconds=90)
    cluster.wait_node_ready()
    after = cluster.pod_status("counts")
    for field in ("containerID", "restartCount"):
        equal(after["containerStatuses"][0][field], before["containerStatuses"][0][field], field)
    equal(after["podIP"], before["podIP"], "address")
    lines = [int(line) for line in cluster.out("logs", "counts").split()]
    equal(lines, list(range(1, len(lines) + 1)), "no line of the log is lost")
    equal(cluster.out("exec", "counts", "--", "echo", "lives"), "lives\n", "exec")
    cluster.expect(r"connect: (connection refused|no such file)|code = Unavailable|error reading from server|context canceled|transport")


@test(seconds=180)
def test_statistics_of_node_and_pods(cluster):
    cluster.apply(pod("busy", container("while :; do :; done & dd if=/dev/zero of=/tmp/file bs=1M count=3; wait",
                                        resources={"limits": {"cpu": "200m", "memory": "64Mi"}})))
    cluster.wait_pod("busy")

    def is_told():
        one = summary_of(cluster, "busy")
        assert one, "not in the summary yet"
        main = one["containers"][0]
        assert main["cpu"].get("usageNanoCores", 0) > 50_000_000, main["cpu"]
        assert main["cpu"]["usageCoreNanoSeconds"] > 0 and main["memory"]["workingSetBytes"] > 0, main
        assert main["rootfs"]["usedBytes"] >= 3 << 20 and main["logs"]["usedBytes"] >= 0, main
        assert one["cpu"]["usageCoreNanoSeconds"] > 0 and one["memory"]["workingSetBytes"] > 0, one
        return True
    eventually(is_told, 90, 2)
    node = json.loads(cluster.raw(SUMMARY))["node"]
    assert node["runtime"]["imageFs"]["usedBytes"] > 0 and node["fs"]["capacityBytes"] > 0, node
    text = cluster.raw(f"/api/v1/nodes/{NODE}/proxy/metrics/resource")
    for series in ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_start_time_seconds"):
        contains(text, f'{series}{{container="main",namespace="default",pod="busy"}}')
    contains(text, 'pod_cpu_usage_seconds_total{namespace="default",pod="busy"}', "node_cpu_usage_seconds_total")


@test(seconds=240)
def test_cadvisor_knows_whose_control_groups_they_are(cluster):
    """With the kubelet's default feature gates: CPU, memory, network and file system, each with its labels."""
    server = "httpd -f -p 8080 -h /www & dd if=/dev/zero of=/tmp/file bs=1M count=3; while :; do :; done"
    limits = {"limits": {"cpu": "200m", "memory": "64Mi"}}
    cluster.apply(pod("seen", container(server, image=f"{WEB}:1", resources=limits)), pod("on-host", container(), hostNetwork=True))
    cluster.wait_pod("seen")
    address = cluster.pod_status("seen")["podIP"]
    own = r'container="main",.*image="127.0.0.1:5000/test/web:1",.*namespace="default",pod="seen"'
    of_pod = r'container="POD",.*interface="eth0",.*namespace="default",pod="seen"'
    wanted = {"container_cpu_usage_seconds_total": own, "container_memory_working_set_bytes": own, "container_fs_usage_bytes": own,
              "container_network_receive_bytes_total": of_pod, "container_network_transmit_bytes_total": of_pod}

    def is_told():
        with urllib.request.urlopen(f"http://{address}:8080/", timeout=20) as answer:
            equal(answer.read(), b"version 1\n", "page")
        lines = cluster.raw(f"/api/v1/nodes/{NODE}/proxy/metrics/cadvisor").splitlines()
        for name, labels in wanted.items():
            values = [float(line.split()[-2]) for line in lines if re.match(rf"{name}{{.*{labels}", line)]
            assert values and max(values) > 0, f"{name}: {values}, of {[line for line in lines if line.startswith(name) and 'seen' in line]}"
        assert not any('pod="on-host"' in line and "network" in line for line in lines), "the node's network is not the pod's"
        one = summary_of(cluster, "seen")
        network = (one or {}).get("network", {})
        assert network.get("name") == "eth0" and network.get("rxBytes", 0) > 0, one
        return True
    eventually(is_told, 180, 3)


@test(seconds=240)
def test_statistics_from_cri_alone(cluster):
    work = "dd if=/dev/zero of=/tmp/file bs=1M count=3; while :; do :; done"
    cluster.apply(pod("measured", container(work, resources={"limits": {"cpu": "200m"}})))
    cluster.wait_pod("measured")
    cluster.stop_kubelet()
    cluster.start_kubelet(featureGates={"KubeletCrashLoopBackOffMax": True, "PodAndContainerStatsFromCRI": True})
    try:
        cluster.wait_node_ready()

        def is_told():
            one = summary_of(cluster, "measured")
            assert one, "not in the summary yet"
            assert one["containers"][0]["cpu"].get("usageNanoCores", 0) > 50_000_000, one
            assert one["cpu"].get("usageNanoCores", 0) > 50_000_000 and one["memory"]["workingSetBytes"] > 0, one
            assert one.get("network", {}).get("name") == "eth0" and one["network"]["rxBytes"] >= 0, one
            assert one["process_stats"]["process_count"] >= 1, one
            return True
        eventually(is_told, 90, 2)
        own, of_pod = {"container": "main"}, {"container": "", "interface": "eth0"}
        wanted = {"container_cpu_usage_seconds_total": own, "container_memory_working_set_bytes": own, "container_fs_usage_bytes": own,
                  "container_network_receive_bytes_total": of_pod, "container_network_transmit_bytes_total": of_pod}

        def has_series():
            lines = cluster.raw(f"/api/v1/nodes/{NODE}/proxy/metrics/cadvisor").splitlines()
            for name, labels in wanted.items():
                labels = {**labels, "namespace": "default", "pod": "measured"}
                found = [line for line in lines if line.startswith(f"{name}{{") and
                         labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', line)).items()]
                values = [float(line.rpartition("}")[2].split()[0]) for line in found]
                assert values and max(values) > 0, f"{name} {labels}: {found}"
            return True
        eventually(has_series, 60, 2)
    finally:
        cluster.stop_kubelet()
        cluster.start_kubelet(featureGates={"KubeletCrashLoopBackOffMax": True, "PodAndContainerStatsFromCRI": False})
        cluster.wait_node_ready()


@test(seconds=240)
def test_events_instead_of_lists(cluster):
    cluster.stop_kubelet()
    cluster.start_kubelet(featureGates={"KubeletCrashLoopBackOffMax": True, "EventedPLEG": True})
    try:
        cluster.wait_node_ready()
        cluster.apply(pod("evented", container("sleep 2; exit 3"), restartPolicy="OnFailure"), pod("once", "sleep 2", restartPolicy="Never"))
        cluster.wait_phase("once", "Succeeded")
        eventually(lambda: status_of(cluster.pod_status("evented"), "main")["restartCount"] >= 1, 60, 0.3)
        received = [line for line in cluster.raw(f"/api/v1/nodes/{NODE}/proxy/metrics").splitlines()
                    if line.startswith("kubelet_evented_pleg_connection_success_count")]
        equal(received, ["kubelet_evented_pleg_connection_success_count 1"], "the kubelet's stream of events")
    finally:
        cluster.stop_kubelet()
        cluster.start_kubelet(featureGates={"KubeletCrashLoopBackOffMax": True, "EventedPLEG": False})
        cluster.wait_node_ready()
