# SPDX-License-Identifier: Apache-2.0
"""Statistics and metrics of real containers: CPU, memory, files, network, and what they cost."""
import json
import os
import pathlib
import re
import subprocess
import time

from support import trace
from support.suite import contains, equal, eventually, test

MIB = 1 << 20


def number(value):
    return int((value or {}).get("value") or 0)


def container_stats(node, container):
    return node.json("stats", "-o", "json", "--id", container)["stats"][0]


def pod_stats(node, pod):
    stats = [s for s in node.json("statsp", "-o", "json")["stats"] if s["attributes"]["id"] == pod]
    equal(len(stats), 1, "entries of the pod")
    return stats[0]


def metrics_of(node, pod):
    """{name: [(labels as a dict, value)]} of the pod and its containers, by the descriptors' keys."""
    keys = {d["name"]: d["label_keys"] if "label_keys" in d else d["labelKeys"]
            for d in node.json("metricdescs")["descriptors"]}
    pods = [p for p in node.json("metricsp")["podMetrics"] if p["podSandboxId"] == pod]
    equal(len(pods), 1, "entries of the pod")
    found = {}
    for metric in [*pods[0]["metrics"], *(m for c in pods[0]["containerMetrics"] for m in c["metrics"])]:
        equal(len(metric["labelValues"]), len(keys[metric["name"]]), metric["name"])
        equal(int(metric["timestamp"]), 0, metric["name"])
        found.setdefault(metric["name"], []).append(
            (dict(zip(keys[metric["name"]], metric["labelValues"])), number(metric["value"])))
    return found


def one(metrics, name):
    equal(len(metrics[name]), 1, name)
    return metrics[name][0]


@test
def test_a_container_that_burns_cpu_shows_it_and_an_idle_one_does_not(node):
    with node.pod() as pod:
        busy = pod.run(["sh", "-c", "while :; do :; done"], name="busy")
        idle = pod.run(name="idle")
        first = container_stats(node, busy.id)
        container_stats(node, idle.id)
        time.sleep(1.5)
        second = container_stats(node, busy.id)
        used = number(second["cpu"]["usageCoreNanoSeconds"]) - number(first["cpu"]["usageCoreNanoSeconds"])
        took = int(second["cpu"]["timestamp"]) - int(first["cpu"]["timestamp"])
        assert 0 < used < took * 1.05, f"{used} ns of CPU in {took} ns"
        rate = number(second["cpu"]["usageNanoCores"])
        # The machine may be busy with other things, but a loop gets something.
        assert 20_000_000 < rate < 1_050_000_000, f"{rate} billionths of a core"
        assert number(container_stats(node, idle.id)["cpu"].get("usageNanoCores")) < 20_000_000
        # The pod's group counts both.
        whole = pod_stats(node, pod.id)["linux"]
        assert number(whole["cpu"]["usageCoreNanoSeconds"]) >= number(second["cpu"]["usageCoreNanoSeconds"])
        equal({c["attributes"]["id"] for c in whole["containers"]}, {busy.id, idle.id}, "containers")
        assert number(whole["process"]["processCount"]) >= 2


@test
def test_memory_that_is_allocated_is_seen_and_its_limit_leaves_the_rest(node):
    with node.pod() as pod:
        limit = {"resources": {"memory_limit_in_bytes": 200 * MIB}}
        container = pod.run(name="memory", linux=limit)
        before = number(container_stats(node, container.id)["memory"]["workingSetBytes"])
        container.sh("dd if=/dev/zero of=/dev/shm/block bs=1M count=32 2>/dev/null")
        stats = container_stats(node, container.id)
        memory = stats["memory"]
        grown = number(memory["workingSetBytes"]) - before
        assert 31 * MIB < grown < 40 * MIB, f"working set grew by {grown}"
        equal(number(memory["availableBytes"]), 200 * MIB - number(memory["workingSetBytes"]), "available")
        assert number(memory["usageBytes"]) >= number(memory["workingSetBytes"])
        assert number(memory["pageFaults"]) > 0
        equal(stats["attributes"]["metadata"]["name"], "memory")
        container.sh("rm /dev/shm/block")
        eventually(lambda: number(container_stats(node, container.id)["memory"]["workingSetBytes"]) < before + 8 * MIB)


@test
def test_files_of_a_container_and_their_file_system(node):
    with node.pod() as pod:
        container = pod.run(name="files")
        empty = eventually(lambda: container_stats(node, container.id)["writableLayer"])
        assert os.statvfs(empty["fsId"]["mountpoint"]).f_blocks > 0
        container.sh("mkdir /many && for i in 1 2 3 4 5 6 7 8 9; do echo x >/many/$i; done; "
                     "dd if=/dev/urandom of=/many/big bs=1M count=8 2>/dev/null; sync")

        def grown():
            layer = container_stats(node, container.id)["writableLayer"]
            more = number(layer["usedBytes"]) - number(empty["usedBytes"])
            assert 8 * MIB <= more < 9 * MIB, f"grew by {more} bytes"
            equal(number(layer["inodesUsed"]) - number(empty["inodesUsed"]), 11, "new inodes")
            return True
        eventually(grown, seconds=25, interval=1)


@test
def test_network_bytes_after_traffic_and_after_a_restart_of_the_daemon(node):
    with node.pod() as pod, node.pod() as other:
        container = pod.run()
        address = other.ip()
        other.run()

        def counters():
            usage = pod_stats(node, pod.id)["linux"]["network"]
            equal(usage["defaultInterface"]["name"], "eth0")
            assert int(usage["timestamp"]) > 0
            return number(usage["defaultInterface"]["txBytes"]), number(usage["defaultInterface"]["rxBytes"])
        sent, received = counters()
        container.sh(f"ping -c 5 -i 0.05 -s 1400 {address} >/dev/null")
        sent_after, received_after = counters()
        for what, grown in ("sent", sent_after - sent), ("received", received_after - received):
            assert 7000 <= grown < 30000, f"{what}: {grown} bytes more"
        # What the pod itself counts.
        own = int(container.sh("cat /sys/class/net/eth0/statistics/tx_bytes"))
        assert abs(own - counters()[0]) < 2000, f"{own} and {counters()}"
        node.restart()
        again = counters()
        assert again[0] >= sent_after and again[1] >= received_after, f"{again} after the restart"
        equal(one(metrics_of(node, pod.id), "container_network_transmit_bytes_total")[0]["interface"], "eth0")


@test
def test_statistics_go_on_after_a_restart_of_the_daemon(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "while :; do :; done"])
        before = number(container_stats(node, container.id)["cpu"]["usageCoreNanoSeconds"])
        node.restart()
        after = number(container_stats(node, container.id)["cpu"]["usageCoreNanoSeconds"])
        assert after > before, f"{before}, then {after}"


@test
def test_the_hosts_network_has_no_counters_and_a_given_parent_is_the_pods_group(node):
    group = f"/berthtest{os.getpid()}.slice"  # a name for both cgroup drivers
    host = {"network": 2}
    with node.pod(namespaces={**host, "pid": 1}, linux={"cgroup_parent": group}) as pod:
        container = pod.run(["sh", "-c", "while :; do :; done"])
        stats = eventually(lambda: pod_stats(node, pod.id)["linux"])
        assert not stats.get("network"), stats["network"]
        contains(pathlib.Path(f"/proc/{container.process()}/cgroup").read_text(), f"{group}/crio-{container.id}")
        inside = number(container_stats(node, container.id)["cpu"]["usageCoreNanoSeconds"])
        assert number(pod_stats(node, pod.id)["linux"]["cpu"]["usageCoreNanoSeconds"]) >= inside
        metrics = metrics_of(node, pod.id)
        assert "container_network_receive_bytes_total" not in metrics
        contains(one(metrics, "container_start_time_seconds")[0]["id"], f"{group}/crio-{container.id}")
    # The parent is the caller's to remove.
    os.system(f"systemctl stop {group[1:]} 2>/dev/null")
    for hierarchy in pathlib.Path("/sys/fs/cgroup").iterdir():
        if (hierarchy / group[1:]).is_dir():
            (hierarchy / group[1:]).rmdir()
    if pathlib.Path("/sys/fs/cgroup" + group).is_dir():
        pathlib.Path("/sys/fs/cgroup" + group).rmdir()


@test
def test_an_exited_container_has_no_figures_and_an_unknown_one_is_not_found(node):
    with node.pod() as pod:
        container = pod.run(["true"])
        container.wait_exit()
        equal([s["attributes"]["id"] for s in node.json("stats", "-o", "json", "-a")["stats"]], [], "in the list")
        equal(pod_stats(node, pod.id)["linux"]["containers"], [], "containers of the pod")
        node.crictl("stopp", pod.id)
        equal([s["attributes"]["id"] for s in node.json("statsp", "-o", "json")["stats"]], [], "pods in the list")
        equal(node.json("metricsp")["podMetrics"], [], "pods in the metrics")
    equal(node.json("stats", "-o", "json", "--id", "feed")["stats"], [], "of an unknown id")


@test
def test_the_metrics_of_a_container_are_all_there(node):
    linux = {"resources": {"cpu_period": 100000, "cpu_quota": 20000, "cpu_shares": 512, "memory_limit_in_bytes": 64 * MIB}}
    with node.pod() as pod:
        container = pod.run(name="metrics", linux=linux)
        container.sh("dd if=/dev/zero of=/file bs=1M count=4 2>/dev/null; sync")
        metrics = eventually(lambda: has(metrics_of(node, pod.id), "container_fs_usage_bytes"))
        descriptors = {d["name"] for d in node.json("metricdescs")["descriptors"]}
        # What depends on the kernel (pressure), on hugetlb, and on what lies below a loop device may be missing.
        optional = re.compile("pressure|hugetlb|container_fs_(reads|writes)|blkio")
        missing = [name for name in descriptors - metrics.keys() if not optional.search(name)]
        equal(missing, [], "metrics without a value")
        labels, value = one(metrics, "container_spec_memory_limit_bytes")
        equal(value, 64 * MIB)
        equal((labels["name"], labels["container"], labels["pod"], labels["namespace"]),
              (container.id, "metrics", pod.config["metadata"]["name"], "test"))
        contains(labels["image"], "busybox")
        equal(one(metrics, "container_spec_cpu_quota")[1], 20000)
        equal(one(metrics, "container_processes")[1], 2, "processes: the shell and its sleep")
        assert one(metrics, "container_file_descriptors")[1] >= 3
        equal(one(metrics, "container_ulimits_soft")[0]["ulimit"], "max_open_files")
        assert abs(one(metrics, "container_last_seen")[1] - time.time()) < 60
        equal({labels["failure_type"] for labels, _ in metrics["container_memory_failures_total"]},
              {"pgfault", "pgmajfault"})


def has(metrics, name):
    assert name in metrics, f"{name} is not there yet"
    return metrics


@test
def test_the_image_store_grows_with_a_pull_and_shrinks_with_a_removal(node):
    def images():
        return node.json("imagefsinfo")["status"]["imageFilesystems"][0]
    image = "127.0.0.1:5000/test/web:1"
    before = images()
    assert os.path.isdir(before["fsId"]["mountpoint"]), before
    layers = pathlib.Path(before["fsId"]["mountpoint"]) / "layers"

    def du():
        return 1024 * int(subprocess.run(["du", "-sk", layers], capture_output=True, text=True, check=True).stdout.split()[0])
    disk = du()
    node.crictl("pull", image)
    after = images()
    grown, really = number(after["usedBytes"]) - number(before["usedBytes"]), du() - disk
    assert really > MIB and abs(grown - really) < 0.2 * really, f"{grown} bytes more, du says {really}"
    assert number(after["inodesUsed"]) > number(before["inodesUsed"])
    assert int(after["timestamp"]) > int(before["timestamp"])
    node.crictl("rmi", image)
    equal((number(images()["usedBytes"]), number(images()["inodesUsed"])),
          (number(before["usedBytes"]), number(before["inodesUsed"])), "after the removal")


@test(seconds=120)
def test_a_list_opens_nothing_again(node):
    """The system calls of berthd for one more list of what it has listed before."""
    pods = [node.pod() for _ in range(4)]
    try:
        for pod in pods:
            pod.run()
        node.json("statsp", "-o", "json")
        calls = trace.calls_during(node, lambda: node.json("statsp", "-o", "json"), [*trace.OPENS, "pread64"])
        opened = [call for call in calls if call[0] in trace.OPENS]
        equal(opened, [], "files that were opened")
        reads = [call for call in calls if call[0] == "pread64"]
        # v1: four files for each of four containers and four pods.
        assert 32 <= len(reads) <= 90, f"{len(reads)} reads"
    finally:
        for pod in pods:
            pod.__exit__(None)
