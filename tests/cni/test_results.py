# SPDX-License-Identifier: Apache-2.0
"""The same configuration gives the same result, the same interfaces and the same routes, in every version."""
import re

from plugins import Pod, bridge, full_bridge, ipam, normal, portmap, run
from support.suite import equal, test

VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


def versions(plugins):
    return [v for v in VERSIONS if v != "1.1.0" or plugins.name != "reference 1.1.1"]


def inside(pod):
    """The pod's interfaces, addresses, routes and neighbours' view, without what differs from run to run."""
    text = "".join(pod.run("ip", "-o", *what) for what in (["addr"], ["link"], ["route"], ["-6", "route"]))
    text = re.sub(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "MAC", text)
    text = re.sub(r"fe80::\S+", "LOCAL", text)
    text = re.sub(r"@if\d+|link-netnsid \d+|qlen \d+|valid_lft \S+|preferred_lft \S+|tentative|nodad|^\d+: ", "", text, flags=re.M)
    return sorted(re.sub(r"[\s\\]+", " ", line).strip() for line in text.splitlines()
                  if "LOCAL" not in line)  # link-local addresses come a moment later


def outcome(plugins, chain):
    with Pod() as pod:
        result = plugins.add(chain, pod)
        seen = inside(pod)
        # The reference's CHECK wants an IPAM plugin, and that of portmap 1.1.1 does not find its own IPv6 rules.
        checked = [c for c in chain if c.get("ipam") or (c["type"] == "portmap" and plugins.name != "reference 1.1.1")]
        if chain[0]["cniVersion"] not in ("0.3.0", "0.3.1"):
            plugins.check(checked, pod, result)
        plugins.delete(chain, pod, result)
        after = pod.run("ip", "-o", "link")
    assert "eth0" not in after, after
    return {"result": normal(result), "inside": seen}


def same(host, make):
    """make(version) is a chain."""
    from plugins import clean
    for version in VERSIONS:
        clean()
        want = None
        for plugins in reversed(host.sets):
            if version not in versions(plugins):
                continue
            clean()
            got = outcome(plugins, make(version))
            if want is None:
                want = got
            equal(got, want, f"{plugins} and {host.sets[-1]}, version {version}")


@test(seconds=120)
def test_bridge_with_everything_a_pod_network_has(host):
    same(host, lambda v: [full_bridge(v)])


@test(seconds=120)
def test_bridge_as_default_gateway_with_an_mtu(host):
    same(host, lambda v: [bridge(v, isDefaultGateway=True, mtu=1400, promiscMode=True,
                                ipam={**ipam(v6=False), "routes": []})])


@test(seconds=120)
def test_bridge_without_addresses(host):
    same(host, lambda v: [{k: w for k, w in bridge(v).items() if k != "ipam"}])


@test(seconds=120)
def test_bridge_with_dns_and_an_address_of_the_runtimes(host):
    same(host, lambda v: [bridge(v, dns={"nameservers": ["10.1.1.1"], "search": ["x"]}, runtimeConfig={
        "mac": "0a:00:00:00:00:09", "ips": ["10.77.9.9/16", "fd77::9:9"]})])


@test(seconds=120)
def test_a_chain_of_bridge_and_portmap(host):
    same(host, lambda v: [full_bridge(v), portmap([(8080, 80, "tcp"), (5353, 53, "udp", "127.0.0.1")], v)])


@test(seconds=120)
def test_ptp(host):
    same(host, lambda v: [{"cniVersion": v, "name": "net", "type": "ptp", "ipMasq": True, "mtu": 1400, "ipam": ipam(v6=False)}])


@test(seconds=120)
def test_loopback_alone(host):
    for version in VERSIONS:
        answers = []
        for plugins in host.sets:
            if version not in versions(plugins):
                continue
            with Pod() as pod:
                run("ip", "-n", pod.name, "link", "set", "lo", "down")
                config = {"cniVersion": version, "name": "net", "type": "loopback"}
                answer = normal(plugins.call("ADD", "loopback", config, pod))
                for ip in answer["ips"]:  # the reference leaves it out, which the spec before 1.0.0 does not allow
                    ip.pop("version", None)
                answers.append(answer)
                assert "LOWER_UP" in pod.run("ip", "link", "show", "lo")
                plugins.call("DEL", "loopback", config, pod)
                assert "LOWER_UP" not in pod.run("ip", "link", "show", "lo")
        for answer in answers:
            equal(answer, answers[-1], version)


@test(seconds=120)
def test_bandwidth_makes_the_same_buckets(host):
    limits = {"ingressRate": 10_000_000, "ingressBurst": 80_000_000, "egressRate": 20_000_000, "egressBurst": 1_600_000}
    chain = [full_bridge(), {"cniVersion": "1.0.0", "name": "net", "type": "bandwidth", **limits}]

    def shape(plugins):
        from plugins import clean
        clean()
        with Pod() as pod:
            pod.id = "always-the-same"  # the ifb's name is made of it
            result = plugins.add(chain, pod)
            plugins.check(chain, pod, result)
            text = run("tc", "qdisc") + run("tc", "filter", "show", "dev", result["interfaces"][1]["name"], "ingress")
            plugins.delete(chain, pod, result)
        text = re.sub(r"veth[0-9a-f]{8}", "VETH", text)
        return normal(result), sorted(line for line in re.sub(r"refcnt \d+|index \d+", "", text).splitlines() if "tbf" in line or "stolen" in line)

    want = shape(host.references[-1])
    for plugins in host.sets:
        equal(shape(plugins), want, str(plugins))


@test(seconds=120)
def test_tuning_changes_and_puts_back_the_same(host):
    change = {"sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}, "mac": "0a:00:00:00:00:01", "mtu": 1400, "promisc": True,
              "allmulti": True}
    chain = [full_bridge(), {"cniVersion": "1.0.0", "name": "net", "type": "tuning", "dataDir": "/run/tuning", **change}]

    def shape(plugins):
        from plugins import clean
        clean()
        with Pod() as pod:
            before = None
            result = plugins.add(chain[:1], pod)
            before = inside(pod)
            result = plugins.call("ADD", "tuning", {**chain[1], "prevResult": result}, pod)
            changed = inside(pod) + [pod.run("cat", "/proc/sys/net/ipv4/conf/eth0/arp_filter")]
            assert changed[:-1] != before
            if plugins.name != "reference 1.1.1":  # its CHECK does not know IFNAME
                plugins.check(chain, pod, result)
            plugins.call("DEL", "tuning", {**chain[1], "prevResult": result}, pod)
            equal(inside(pod), before, f"{plugins} after DEL")
            plugins.delete(chain[:1], pod, result)
        return normal(result), changed

    want = shape(host.references[-1])
    for plugins in host.sets:
        equal(shape(plugins), want, str(plugins))


@test
def test_versions(host):
    answer = host.own.call("VERSION", "bridge", "")
    equal(answer, {"cniVersion": "1.1.0", "supportedVersions": VERSIONS})
