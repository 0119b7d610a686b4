# SPDX-License-Identifier: Apache-2.0
"""What cannot be done says so with the code that the reference has for it, and leaves nothing."""
from plugins import Pod, Refused, bridge, full_bridge, ipam, leases, left_behind, portmap, run
from support.suite import contains, equal, eventually, test


def refused(plugins, command, plugin, config, pod=None, **env):
    try:
        answer = plugins.call(command, plugin, config, pod, **env)
    except Refused as error:
        return error
    raise AssertionError(f"{plugins} {plugin} {command} worked: {answer}")


@test(seconds=120)
def test_codes_are_the_references(host):
    good = full_bridge("1.1.0")
    with Pod() as pod:
        cases = [
            ("ADD", "bridge", "{", {}),
            ("ADD", "bridge", {**good, "name": ""}, {}),
            ("ADD", "bridge", {**good, "name": "a/b"}, {}),
            ("ADD", "bridge", {**good, "cniVersion": "9.0.0"}, {}),
            ("ADD", "bridge", good, {"CNI_NETNS": ""}),
            ("ADD", "bridge", good, {"CNI_IFNAME": "a/b"}),
            ("ADD", "bridge", good, {"CNI_IFNAME": "a234567890123456"}),
            ("ADD", "bridge", good, {"CNI_CONTAINERID": "../x"}),
            ("FROB", "bridge", good, {}),
            ("CHECK", "bridge", {**good, "cniVersion": "0.3.1"}, {}),
            ("ADD", "bridge", good, {"CNI_NETNS": "/run/netns/none"}),
            ("ADD", "bridge", {**good, "vlan": 5000}, {}),
            ("ADD", "bridge", {**good, "hairpinMode": True, "promiscMode": True}, {}),
            ("ADD", "bridge", {**good, "ipam": {**ipam(), "type": "nothing-of-that-name"}}, {}),
            ("ADD", "bridge", {**good, "ipam": {"type": "host-local", "dataDir": ipam()["dataDir"], "ranges": []}}, {}),
            ("ADD", "bridge", good, {"CNI_ARGS": "X=1"}),
            ("ADD", "portmap", portmap([(80, 80, "tcp")]), {}),
            ("ADD", "portmap", {**portmap([(0, 80, "tcp")]), "prevResult": {"cniVersion": "1.0.0"}}, {}),
            ("ADD", "host-local", {**good, "ipam": {**ipam(), "ranges": [[{"subnet": "10.77.0.1/16"}]]}}, {}),
            ("CHECK", "host-local", good, {}),
            ("ADD", "tuning", {"cniVersion": "1.0.0", "name": "net", "sysctl": {"kernel.hostname": "x"},
                               "prevResult": {"cniVersion": "1.0.0"}}, {}),
        ]
        for command, plugin, config, env in cases:
            what = f"{command} {plugin} {env} {str(config)[:200]}"
            codes = {"berth": refused(host.own, command, plugin, config, pod, **env).code}
            equal(left_behind(), [], what)
            codes["reference"] = refused(host.references[-1], command, plugin, config, pod, **env).code
            if left_behind():  # it does not undo everything
                pod.__exit__()
                pod.__enter__()
                eventually(lambda: not left_behind())
            assert len(set(codes.values())) == 1 and None not in codes.values(), f"{what}: {codes}"


@test
def test_exhausted_range(host):
    chain = [bridge(ipam={**ipam(), "ranges": [[{"subnet": "10.77.0.0/30"}]], "routes": []}, isGateway=True)]
    with Pod() as one, Pod() as two:
        host.own.add(chain, one)
        for plugins in host.sets:
            error = refused(plugins, "ADD", "bridge", chain[0], two)
            contains(error.msg, "no IP addresses available in range set: 10.77.0.1-10.77.0.2")
            equal(error.code, 999, str(plugins))
            assert "eth0" not in two.run("ip", "-o", "link") or plugins is not host.own, "a half-made interface"
            two.__exit__()
            two.__enter__()
        host.own.delete(chain, one)


@test
def test_second_add_of_an_attachment_leaves_the_first_alone(host):
    chain = [full_bridge(), portmap([(8080, 80, "tcp")])]
    with Pod() as pod:
        result = host.own.add(chain, pod)
        for plugins in host.sets:
            refused(plugins, "ADD", "bridge", chain[0], pod)
        host.own.check(chain, pod, result)
        host.own.delete(chain, pod, result)


@test
def test_check_finds_what_is_missing(host):
    chain = [full_bridge(), portmap([(8080, 80, "tcp")])]
    for plugins in (host.own, host.references[-1]):
        with Pod() as pod:
            result = plugins.add(chain, pod)
            plugins.check(chain, pod, result)
            pod.run("ip", "addr", "del", "10.77.0.2/16", "dev", "eth0")
            contains(refused(plugins, "CHECK", "bridge", {**chain[0], "prevResult": result}, pod).msg, "Failed to match addr")
            run("nft", "flush", "ruleset")
            refused(plugins, "CHECK", "portmap", {**chain[1], "prevResult": result}, pod)
            plugins.call("DEL", "bridge", {**chain[0], "ipMasq": plugins is host.own, "prevResult": result}, pod)
        from plugins import clean
        clean()


@test
def test_failed_add_is_undone(host):
    # The bridge has an address of another network: known only after the pod's interface and address are there.
    run("ip", "link", "add", "br77", "type", "bridge")
    run("ip", "addr", "add", "10.78.0.1/16", "dev", "br77")
    with Pod() as pod:
        error = refused(host.own, "ADD", "bridge", full_bridge(), pod)
        contains(error.msg, '"br77" already has an IP address different from 10.77.0.1/16')
        equal(left_behind(), [])
        assert "eth0" not in pod.run("ip", "-o", "link")
        result = host.own.add([full_bridge(forceAddress=True)], pod)
        host.own.delete([full_bridge()], pod, result)
    assert "10.78.0.1" not in run("ip", "addr", "show", "br77")


@test
def test_an_interface_that_is_no_bridge(host):
    run("ip", "link", "add", "br77", "type", "ifb")
    with Pod() as pod:
        for plugins in host.sets:
            contains(refused(plugins, "ADD", "bridge", full_bridge(), pod).msg, "already exists but is not a bridge")
