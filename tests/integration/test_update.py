# SPDX-License-Identifier: Apache-2.0
"""UpdateContainerResources with the real kernel: the control group, the status, and what a failure leaves."""
import json
import os
import pathlib

from support.suite import contains, equal, test

MIB = 1 << 20
START = {"cpu_shares": 512, "cpu_quota": 50000, "cpu_period": 100000, "memory_limit_in_bytes": 64 * MIB, "oom_score_adj": 100}


def group(container):
    """The container's control group, per controller."""
    lines = pathlib.Path(f"/proc/{container.process()}/cgroup").read_text().splitlines()
    found = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def value(container, v1, v2):
    paths = group(container)
    controller = v1.split(".")[0]
    unified = "/sys/fs/cgroup" if controller not in paths else None
    path = pathlib.Path(f"{unified}{paths['']}/{v2}" if unified else f"/sys/fs/cgroup/{controller}{paths[controller]}/{v1}")
    return path.read_text().strip()


def on_v1(container):
    return "memory" in group(container)


def resources(container):
    found = container.status()["resources"]["linux"]
    return {key: int(found.get(key) or 0) for key in ("cpuShares", "cpuQuota", "cpuPeriod", "memoryLimitInBytes", "oomScoreAdj")}


def limits(container):
    if on_v1(container):
        names = ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        return {name: value(container, name, "") for name in names if exists(container, name)}
    return {name: value(container, name, name) for name in ("cpu.weight", "cpu.max", "memory.max")}


def exists(container, name):
    path = group(container)[name.split(".")[0]]
    return os.path.exists(f"/sys/fs/cgroup/{name.split('.')[0]}{path}/{name}")


def score(container):
    return int(pathlib.Path(f"/proc/{container.process()}/oom_score_adj").read_text())


@test(seconds=60)
def test_a_container_is_made_without_a_quota(node):
    """A quota of -1, as the kubelet says it for a pod with processors of its own."""
    for handler in ("crun", "runc"):
        with node.pod(handler=handler) as pod:
            container = pod.run(linux={"resources": {"cpu_shares": 1024, "cpu_period": 100000, "cpu_quota": -1}})
            contains(("-1", "max 100000"), value(container, "cpu.cfs_quota_us", "cpu.max"))


@test(seconds=60)
def test_a_create_that_fails_at_its_limits_leaves_no_group(node):
    with node.pod() as pod:
        with_one = groups_below(pod)
        config = node.container_config(name="refused", linux={"resources": {"cpuset_cpus": "4000"}})
        done = node.crictl("create", pod.id, node.file(config), node.file(pod.config), check=False)
        assert done.code != 0 and "cpuset" in done.text, done.text
        equal(node.ids("ps", "-a"), [], "containers")
        equal(groups_below(pod), with_one, "control groups")


def groups_below(pod):
    return sorted(path for path, directories, _ in os.walk("/sys/fs/cgroup") if pod.id in path)


def started(pod, **fields):
    return pod.run(linux={"resources": START, **fields})


def both_runtimes(node, check):
    for handler in ("crun", "runc"):
        with node.pod(handler=handler) as pod:
            check(pod)


def created(pod):
    """A container that was created and not started, as an object."""
    from support.node import Container
    return Container(pod, pod.create(["sleep", "1000"], linux={"resources": START}), "main")


@test
def test_rule_24_update_changes_the_control_group_and_the_status(node):
    def check(pod):
        container = started(pod)
        equal(score(container), 100, "oom_score_adj")
        node.crictl("update", "--cpu-share", "1024", "--cpu-quota", "20000", "--memory", str(128 * MIB), container.id)
        if on_v1(container):
            equal(value(container, "cpu.shares", ""), "1024", "cpu.shares")
            equal(value(container, "cpu.cfs_quota_us", ""), "20000", "quota")
        equal(value(container, "memory.limit_in_bytes", "memory.max"), str(128 * MIB), "memory")
        want = {"cpuShares": 1024, "cpuQuota": 20000, "cpuPeriod": 100000, "memoryLimitInBytes": 128 * MIB, "oomScoreAdj": 100}
        equal(resources(container), want, "status")
        node.restart()
        equal(resources(container), want, "status after a restart of the daemon")
        contains(json.dumps(container.inspect()["info"]["runtimeSpec"]["linux"]["resources"]), "1024")
    both_runtimes(node, check)


@test
def test_created_container_is_updated_and_keeps_it_when_started(node):
    def check(pod):
        container = created(pod)
        node.crictl("update", "--cpu-share", "300", "--memory", str(32 * MIB), container.id)
        equal(resources(container)["cpuShares"], 300, "status")
        container.start()
        equal(value(container, "memory.limit_in_bytes", "memory.max"), str(32 * MIB), "memory")
        equal(resources(container)["cpuShares"], 300, "status of the started one")
    both_runtimes(node, check)


@test
def test_memory_goes_up_and_down_and_quota_away(node):
    def check(pod):
        container = started(pod)
        for mib in (512, 48, 100):
            node.crictl("update", "--memory", str(mib * MIB), container.id)
            equal(value(container, "memory.limit_in_bytes", "memory.max"), str(mib * MIB), "memory")
        node.crictl("update", "--cpu-quota=-1", container.id)
        equal(value(container, "cpu.cfs_quota_us", "cpu.max").split()[0].replace("max", "-1"), "-1", "quota")
        equal(resources(container)["cpuQuota"], -1, "status")
    both_runtimes(node, check)


@test
def test_cpuset_is_updated(node):
    with node.pod() as pod:
        container = pod.run()
        node.crictl("update", "--cpuset-cpus", "0", "--cpuset-mems", "0", container.id)
        equal(value(container, "cpuset.cpus", "cpuset.cpus"), "0", "cpuset")
        contains(container.sh("grep Cpus_allowed_list /proc/self/status"), "\t0")
        equal(container.status()["resources"]["linux"]["cpusetCpus"], "0", "status")


@test
def test_failed_update_leaves_everything_as_it_was(node):
    def check(pod):
        container = started(pod)
        before, told = limits(container), resources(container)
        # The first value is good; the processor does not exist.
        result = node.crictl("update", "--cpu-share", "999", "--cpuset-cpus", "4000", container.id, check=False)
        assert result.code != 0 and "cpuset" in result.text, result.text
        equal(limits(container), before, "control group")
        equal(resources(container), told, "status")
        # Less memory than is in use: the kernel says no on v1, and would kill on v2.
        if on_v1(container):
            result = node.crictl("update", "--cpu-share", "999", "--memory", "4096", container.id, check=False)
            assert result.code != 0 and "memory" in result.text, result.text
            equal(limits(container), before, "control group")
        node.restart()
        equal(resources(container), told, "status after a restart of the daemon")
        node.crictl("update", "--cpu-share", "999", container.id)
        equal(resources(container)["cpuShares"], 999, "a later update works")
    both_runtimes(node, check)


@test
def test_impossible_updates_are_refused(node):
    with node.pod() as pod:
        container = started(pod)
        before = limits(container)
        for arguments, part in ((("--cpu-period", "5"), "cpu period 5"), (("--cpu-quota", "5"), "cpu quota 5"),
                                (("--memory", "-7"), "memory limit -7"), (("--cpuset-cpus", "a-b"), "cpuset cpus")):
            node.refused("update", *(f"{arguments[0]}={arguments[1]}",), container.id, code="InvalidArgument", parts=part)
        node.refused("update", "--cpu-share", "5", "0123456789abcdef" * 4, code="NotFound")
        equal(limits(container), before, "control group")
        node.crictl("stop", container.id)
        node.refused("update", "--cpu-share", "5", container.id, code="FailedPrecondition", parts="neither created nor running")


@test
def test_pod_cidr_fills_the_template(node):
    template = node.file('{"cniVersion": "1.0.0", "name": "ours", "plugins": [{"type": "bridge", "bridge": "tmpl0", "isGateway": true, '
                         '"ipam": {"type": "host-local", "ranges": [{{range $i, $r := .PodCIDRRanges}}{{if $i}}, {{end}}'
                         '[{"subnet": "{{$r}}"}]{{end}}]}}]}')
    written = node.cni / "10-berth-net.conflist"
    old = node.config.read_text()
    node.write_config({"network": {"conf_template": str(template)}})
    node.restart()
    try:
        node.refused("update-runtime-config", "--pod-cidr", "10.77.0.0", code="InvalidArgument", parts="is not a CIDR")
        assert not written.exists()
        node.crictl("update-runtime-config", "--pod-cidr", "10.77.1.0/24")
        with node.pod() as pod:
            assert pod.ip().startswith("10.77.1."), pod.ip()
        node.crictl("update-runtime-config", "--pod-cidr", "10.78.1.0/24,fd77::/64")
        contains(written.read_text(), "10.78.1.0/24", "fd77::/64")
    finally:
        node.config.write_text(old)
        written.unlink(missing_ok=True)
        node.restart()
        os.system("ip link del tmpl0 2>/dev/null; rm -rf /var/lib/cni/networks /var/lib/cni/cache")
