# SPDX-License-Identifier: Apache-2.0
"""Plugins killed at any moment: DEL and GC put everything right. BERTH_CNI_PODS: how many pods (1000 in a long run)."""
import concurrent.futures
import os
import random
import time

from plugins import Pod, full_bridge, leases, left_behind, portmap, run
from support.suite import equal, test

PODS = int(os.environ.get("BERTH_CNI_PODS", "100"))
AT_ONCE = 8


def killed_somewhere(plugins, command, config, pod, chance):
    """The plugin, and perhaps kill -9 within the time that it takes. True when it ended by itself."""
    process = plugins.start(command, config["type"], config, pod)
    if random.random() < chance:
        time.sleep(random.random() * 0.012)
        process.kill()
    out, err = process.communicate(timeout=30)
    assert process.returncode in (0, -9), f"{config['type']} {command}: {process.returncode} {out}{err}"
    return out if process.returncode == 0 else None


@test(seconds=600)
def test_pods_come_and_go_while_plugins_are_killed(host):
    random.seed(7)
    killed = []

    def life(number):
        chain = [full_bridge("1.1.0"), portmap([(20000 + number % 20000, 80, "tcp"), (20000 + number % 20000, 80, "udp")], "1.1.0")]
        with Pod() as pod:
            import json
            result = killed_somewhere(host.own, "ADD", chain[0], pod, 0.3)
            if result is not None:
                killed_somewhere(host.own, "ADD", {**chain[1], "prevResult": json.loads(result)}, pod, 0.3)
            else:
                killed.append(pod)
            for config in reversed(chain):
                if killed_somewhere(host.own, "DEL", config, pod, 0.3) is None:
                    killed.append(pod)
                host.own.call("DEL", config["type"], config, pod)  # what a runtime does: again until it is told of success

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(life, range(PODS)))
    assert len(killed) > PODS / 10, "the test has hardly killed anything"
    # The last moment of a namespace's end belongs to the kernel.
    from support.suite import eventually
    eventually(lambda: not left_behind(), seconds=10)
    equal(leases(), {})
    equal(run("nft", "list", "ruleset"), "", "rules")
    equal([line for line in run("ip", "-o", "route").splitlines() if "10.77" in line and "br77" not in line], [], "routes")
    equal(run("ip", "netns", "list").strip(), "", "namespaces")


@test(seconds=120)
def test_the_last_pods_that_leave_at_once_take_the_table(host):
    for _ in range(6):
        chain = [full_bridge("1.1.0")]
        pods = [Pod() for _ in range(AT_ONCE)]
        for pod in pods:
            pod.__enter__()
        for pod in pods:
            host.own.add(chain, pod)
        assert "berth_cni" in run("nft", "list", "ruleset"), "there are no rules to remove"
        leaving = [host.own.start("DEL", "bridge", chain[0], pod) for pod in pods]
        for process in leaving:
            out, err = process.communicate(timeout=30)
            equal(process.returncode, 0, out + err)
        for pod in pods:
            pod.__exit__(None, None, None)
        equal(run("nft", "list", "ruleset"), "", "rules")
