# SPDX-License-Identifier: Apache-2.0
"""Who reaches whom is the same with every set of plugins: pods, host, host ports from outside, from the host's loopback and
from the pod itself."""
import contextlib
import pathlib
import subprocess

from plugins import Pod, full_bridge, ipam, portmap, run
from support.suite import equal, eventually, test
from traffic import seen, server

OUTSIDE = "outside"


@contextlib.contextmanager
def outside():
    """Another machine: 192.0.2.2, this one is 192.0.2.1 to it."""
    run("ip", "netns", "add", OUTSIDE)
    try:
        run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", OUTSIDE)
        run("ip", "addr", "add", "192.0.2.1/24", "dev", "lan")
        run("ip", "link", "set", "lan", "up")
        run("ip", "-n", OUTSIDE, "addr", "add", "192.0.2.2/24", "dev", "eth0")
        run("ip", "-n", OUTSIDE, "link", "set", "eth0", "up")
        run("ip", "-n", OUTSIDE, "link", "set", "lo", "up")
        yield
    finally:
        subprocess.run(["ip", "netns", "del", OUTSIDE], capture_output=True)
        subprocess.run(["ip", "link", "del", "lan"], capture_output=True)


def addresses(result):
    return [ip["address"].split("/")[0] for ip in result["ips"]]


PORTS = [(8080, 80, "tcp"), (8080, 80, "udp"), (8081, 80, "tcp", "192.0.2.1")]


def matrix(plugins, chain):
    """A name for each way -> whether it leads there."""
    with outside(), Pod() as one, Pod() as two, server(OUTSIDE, 80):
        first = plugins.add(chain(PORTS), one)
        second = plugins.add(chain([]), two)
        v4, v6 = addresses(first)
        with server(one.name, 80):
            # The bridge's own IPv6 address is not usable at once.
            eventually(lambda: seen(two.name, [["x", "tcp", v6, 80]])["x"] and seen("", [["x", "tcp", v6, 80]])["x"])
            found = {}
            for who, namespace, targets in (
                    ("pod", two.name, [["pod", "tcp", v4, 80], ["pod6", "tcp", v6, 80], ["pod udp", "udp", v4, 80],
                                       ["outside", "tcp", "192.0.2.2", 80], ["host port", "tcp", "192.0.2.1", 8080]]),
                    ("itself", one.name, [["host port", "tcp", "192.0.2.1", 8080], ["host port udp", "udp", "192.0.2.1", 8080],
                                          ["host port of one address", "tcp", "192.0.2.1", 8081]]),
                    ("host", "", [["pod", "tcp", v4, 80], ["pod6", "tcp", v6, 80], ["loopback", "tcp", "127.0.0.1", 8080],
                                  ["loopback udp", "udp", "127.0.0.1", 8080], ["own address", "tcp", "192.0.2.1", 8080],
                                  ["loopback of one address", "tcp", "127.0.0.1", 8081]]),
                    ("outside", OUTSIDE, [["host port", "tcp", "192.0.2.1", 8080], ["host port udp", "udp", "192.0.2.1", 8080],
                                          ["host port of one address", "tcp", "192.0.2.1", 8081],
                                          ["port that is not mapped", "tcp", "192.0.2.1", 8082]])):
                for name, answer in seen(namespace, targets).items():
                    found[f"{who} -> {name}"] = answer
        plugins.delete(chain(PORTS), one, first)
        plugins.delete(chain([]), two, second)
    return {name: answer is not None for name, answer in found.items()}, found


@test(seconds=180)
def test_everybody_reaches_everybody_that_he_should(host):
    from plugins import clean
    for plugins in host.sets:
        clean()
        reached, saw = matrix(plugins, lambda ports: [full_bridge(), portmap(ports)])
        closed = {"host -> loopback of one address", "outside -> port that is not mapped"}
        equal({name for name, ok in reached.items() if not ok}, closed, f"{plugins}: not reached")
        equal(saw["pod -> outside"], "192.0.2.1", f"{plugins}: masqueraded")
        equal(saw["outside -> host port"], "192.0.2.2", f"{plugins}: the client's own address")


# Bridged packets then do not pass the host's rules: what comes back to a pod of the same bridge would come from another address.
@test(seconds=180)
def test_pods_reach_host_ports_of_their_own_bridge_without_br_netfilter(host):
    from plugins import clean
    for key in ("iptables", "ip6tables"):
        path = pathlib.Path(f"/proc/sys/net/bridge/bridge-nf-call-{key}")
        if path.exists():  # else it is so anyway
            path.write_text("0")
    for plugins in (host.own, host.references[-1]):
        clean()
        reached, saw = matrix(plugins, lambda ports: [full_bridge(), portmap(ports)])
        for way in ("pod -> host port", "itself -> host port", "pod -> pod", "outside -> host port"):
            assert reached[way], f"{plugins}: {way}"
        equal(saw["outside -> host port"], "192.0.2.2", f"{plugins}: the client's own address")
        assert saw["pod -> pod"] != saw["pod -> host port"], f"{plugins}: pods see each other's own addresses"


@test
def test_a_closed_forward_chain_is_opened_for_pods(host):
    chain = [full_bridge(), {"cniVersion": "1.0.0", "name": "net", "type": "firewall"}]
    for plugins in host.sets:
        run("iptables", "-P", "FORWARD", "DROP")
        run("ip6tables", "-P", "FORWARD", "DROP")
        with outside(), server(OUTSIDE, 80), Pod() as pod:
            first = plugins.add(chain[:1], pod)
            equal(seen(pod.name, [["x", "tcp", "192.0.2.2", 80]])["x"], None, f"{plugins} without firewall")
            result = plugins.call("ADD", "firewall", {**chain[1], "prevResult": first}, pod)
            equal(seen(pod.name, [["x", "tcp", "192.0.2.2", 80]])["x"], "192.0.2.1", f"{plugins} with firewall")
            plugins.check(chain, pod, result)
            plugins.delete(chain, pod, result)
        run("iptables", "-P", "FORWARD", "ACCEPT")
        run("ip6tables", "-P", "FORWARD", "ACCEPT")


# A flow that began before the mapping would keep to the host for as long as packets come.
@test
def test_udp_flows_follow_the_mapping(host):
    chain = [full_bridge(ipam=ipam(v6=False)), portmap([(7777, 80, "udp")])]
    for plugins in host.sets:
        with outside(), Pod() as pod, server(pod.name, 80):
            talk = ("import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.bind(('',4444));s.settimeout(1)\n"
                    "s.connect(('192.0.2.1',7777))\nfor _ in range(3):\n try:\n  s.send(b'?');print(s.recv(99).decode());break\n"
                    " except OSError: pass\nelse: print('nobody')")
            ask = lambda: run("ip", "netns", "exec", OUTSIDE, "python3", "-c", talk).strip()
            # Something that is tracked: a rule that needs connection tracking is there before the pod's.
            run("nft", "add table inet track { chain c { type filter hook input priority 0; ct state new counter; }; }")
            equal(ask(), "nobody", f"{plugins} before")
            result = plugins.add(chain, pod)
            equal(ask(), "192.0.2.2", f"{plugins} mapped")
            plugins.delete(chain, pod, result)
            if plugins is host.own:  # the reference forgets at ADD only
                equal(ask(), "nobody", f"{plugins} after")
            run("nft", "delete", "table", "inet", "track")
