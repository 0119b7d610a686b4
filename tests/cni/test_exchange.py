# SPDX-License-Identifier: Apache-2.0
"""ADD by one set and DEL by another; both on one node at once; CNI GC."""
import itertools
import threading

from plugins import Pod, Refused, bridge, clean, full_bridge, leases, left_behind, portmap, run
from support.suite import equal, test


@test(seconds=120)
def test_what_one_adds_the_other_deletes_without_leaking_an_address(host):
    chain = [full_bridge(), portmap([(8080, 80, "tcp")])]
    for one, other in itertools.permutations(host.sets, 2):
        if host.own not in (one, other):
            continue
        for with_result in (True, False):
            clean()
            with Pod() as pod:
                result = one.add(chain, pod)
                equal(len(leases()), 2, f"{one}: leases")
                try:
                    other.delete(chain, pod, result if with_result else None)
                except Refused:
                    # 1.1.1 complains of an iptables chain that it has not made, after it gave the address back.
                    if other.name != "reference 1.1.1":
                        raise
                equal(leases(), {}, f"ADD by {one}, DEL by {other}: leases")
                assert "eth0" not in pod.run("ip", "-o", "link")
    clean()  # rules of the one that the other does not know are the operator's to remove: docs/cni.md


@test
def test_del_works_twice_without_namespace_and_without_result(host):
    chain = [full_bridge(), portmap([(8080, 80, "tcp"), (8080, 80, "udp")])]
    with Pod() as pod:
        host.own.delete(chain, pod)  # before any ADD
        result = host.own.add(chain, pod)
        host.own.delete(chain, pod, result)
        equal(left_behind(), [], "after DEL")
        host.own.delete(chain, pod, result)
        result = host.own.add(chain, pod)
    # The namespace is gone now, and with it the interface.
    host.own.delete(chain, pod, None, CNI_NETNS="")
    host.own.delete(chain, pod, result)
    equal(run("nft", "list", "ruleset"), "", "rules")


@test(seconds=120)
def test_both_at_once_give_out_different_addresses(host):
    results, errors = [], []

    def work(plugins, pod):
        try:
            results.append((plugins, plugins.add([bridge(isGateway=True)], pod)))
        except AssertionError as error:
            errors.append(error)

    pods = [Pod().__enter__() for _ in range(18)]
    threads = [threading.Thread(target=work, args=(host.sets[i % len(host.sets)], pod)) for i, pod in enumerate(pods)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given = [ip["address"] for _, result in results for ip in result["ips"]]
    owners = leases()
    for pod in pods:
        host.own.delete([bridge(isGateway=True)], pod)
        pod.__exit__()
    equal(errors, [], "failures")
    equal(len(set(given)), 36, "addresses")
    equal(set(owners.values()), {f"{pod.id}\r\neth0" for pod in pods}, "leases' owners")


@test
def test_gc_takes_what_belongs_to_nobody(host):
    chain = [full_bridge("1.1.0"), portmap([(8080, 80, "tcp")], "1.1.0")]
    with Pod() as kept:
        with Pod() as lost:
            stays = host.own.add(chain, kept)
            host.own.add(chain, lost)
        for config in chain:
            host.own.call("GC", config["type"], {**config, "cni.dev/valid-attachments": [{"containerID": kept.id, "ifname": "eth0"}]})
        rules = run("nft", "list", "ruleset")
        assert lost.id not in rules and kept.id in rules, rules
        equal(set(leases().values()), {f"{kept.id}\r\neth0"})
        host.own.check(chain, kept, stays)
        for config in chain:
            host.own.call("GC", config["type"], {**config, "cni.dev/valid-attachments": []})
        equal(run("nft", "list", "ruleset"), "", "rules")
        equal(leases(), {})


@test
def test_status(host):
    for plugin, config in (("bridge", full_bridge("1.1.0")), ("portmap", portmap([], "1.1.0")),
                           ("loopback", {"cniVersion": "1.1.0", "name": "net", "type": "loopback"})):
        equal(host.own.call("STATUS", plugin, config), {}, plugin)
