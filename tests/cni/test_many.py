# SPDX-License-Identifier: Apache-2.0
"""Many pods at once, while others change rules; configurations that ADD refuses and DEL must get rid of; what is not a pod's."""
import concurrent.futures
import subprocess
import threading

from plugins import Pod, Refused, full_bridge, ipam, leases, left_behind, portmap, run
from support.suite import contains, equal, test
from test_failures import refused

SHARED = "shared"


class Attachment:
    """One of many in one namespace: portmap looks at the result before it only."""
    def __init__(self, number):
        self.number, self.id, self.path, self.ifname = number, f"pod{number}-many", f"/run/netns/{SHARED}", "eth0"

    def config(self):
        return {**portmap([(10000 + self.number, 80, "tcp"), (10000 + self.number, 80, "udp")], "1.1.0"), "prevResult": {
            "cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}],
            "ips": [{"address": f"10.77.1.{self.number + 1}/16", "interface": 0},
                    {"address": f"fd77::1:{self.number + 1:x}/64", "interface": 0}]}}


@test(seconds=240)
def test_many_pods_at_once_while_others_change_rules(host):
    run("ip", "netns", "add", SHARED)
    stop, errors = threading.Event(), []

    def churn():
        text = "add table ip churn\nadd chain ip churn c\nadd rule ip churn c counter\nflush chain ip churn c\n"
        while not stop.is_set():
            subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True)

    def call(command, attachment):
        try:
            host.own.call(command, "portmap", attachment.config(), attachment)
        except Refused as error:
            errors.append(str(error))

    thread = threading.Thread(target=churn)
    thread.start()
    attachments = [Attachment(number) for number in range(220)]
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda each: call("ADD", each), attachments))
            equal(errors, [], "ADD")
            for each in attachments[::10]:
                host.own.call("CHECK", "portmap", each.config(), each)
            list(pool.map(lambda each: call("DEL", each), attachments))
            equal(errors, [], "DEL")
    finally:
        stop.set()
        thread.join()
        run("ip", "netns", "del", SHARED)
    run("nft", "delete", "table", "ip", "churn")
    equal(left_behind(), [])


REFUSED = [
    ("tuning", {"mac": "zz"}), ("tuning", {"txQLen": -1}), ("tuning", {"dataDir": 5}), ("firewall", {"backend": "firewalld"}),
    ("firewall", {"iptablesAdminChainName": "a" * 29}), ("firewall", {"ingressPolicy": "x"}), ("bandwidth", {"ingressRate": 1000000}),
    ("bandwidth", {"ingressRate": 7, "ingressBurst": 8000}), ("portmap", {"backend": "x"}),
    ("portmap", {"runtimeConfig": {"portMappings": [{"hostPort": 0, "containerPort": 80}]}}),
]


@test(seconds=120)
def test_what_add_refuses_del_removes(host):
    first = full_bridge(macspoofchk=True)
    with Pod() as pod:
        result = host.own.add([first], pod)
        for plugin, keys in REFUSED:
            config = {"cniVersion": "1.0.0", "name": "net", "type": plugin, **keys}
            refused(host.own, "ADD", plugin, {**config, "prevResult": result}, pod)
            equal(host.own.call("DEL", plugin, config, pod), {}, f"{plugin} {keys}")
        for keys in ({"mtu": 70000}, {"vlan": 5000}, {"runtimeConfig": {"mac": "zz"}}, {"ipMasqBackend": "x"}, {"bridge": "b%d"},
                     {"ipam": {**ipam(), "ranges": [[{"subnet": "10.77.0.1/16"}]]}}, {"prevResult": {"ips": [{"address": "x"}]}},
                     {"ipMasq": "x", "macspoofchk": 5}):
            if not leases():
                host.own.add([first], pod)
            with Pod() as other:
                refused(host.own, "ADD", "bridge", {**first, **keys}, other)
            host.own.call("DEL", "bridge", {**first, **keys}, pod)
            equal(left_behind(), [], f"bridge {keys}")
            equal(run("nft", "list", "ruleset"), "", f"bridge {keys}: rules")


@test
def test_rules_of_the_operator_stay(host):
    chain = [full_bridge(), {"cniVersion": "1.0.0", "name": "net", "type": "firewall"}]
    for rule in (["-P", "FORWARD", "DROP"], ["-N", "CNI-ADMIN"], ["-A", "INPUT", "-j", "CNI-ADMIN"], ["-N", "DOCKER-USER"],
                 ["-A", "FORWARD", "-j", "DOCKER-USER"]):
        run("iptables", *rule)
    before = run("iptables", "-S").splitlines()
    for admin in ("CNI-ADMIN", "DOCKER-USER"):
        chain[1]["iptablesAdminChainName"] = admin
        with Pod() as pod:
            result = host.own.add(chain, pod)
            host.own.check(chain, pod, result)
            host.own.delete(chain, pod, result)
        after = run("iptables", "-S").splitlines()
        equal([line for line in before if line not in after], [], admin)
        equal(left_behind(), [], admin)


@test
def test_a_pod_that_lives_keeps_its_rules(host):
    chain = [full_bridge(macspoofchk=True), portmap([(8080, 80, "tcp")])]
    with Pod() as pod, Pod() as other:
        result = host.own.add(chain, pod)
        rules = run("nft", "list", "ruleset")
        other.id = pod.id
        contains(refused(host.own, "ADD", "bridge", chain[0], other).msg, "duplicate allocation is not allowed")
        equal(run("nft", "list", "ruleset"), rules, "rules")
        host.own.check(chain, pod, result)
        host.own.delete(chain, pod, result)


@test
def test_check_compares_the_rules(host):
    chain = [full_bridge(macspoofchk=True), portmap([(8080, 80, "tcp")])]
    with Pod() as pod:
        result = host.own.add(chain, pod)
        host.own.check(chain, pod, result)
        for ports in ([(8081, 80, "tcp")], [(8080, 81, "tcp")], [(8080, 80, "udp")], [(8080, 80, "tcp", "192.0.2.1")]):
            error = refused(host.own, "CHECK", "portmap", {**portmap(ports), "prevResult": result}, pod)
            equal((error.code, error.msg), (999, 'missing hostport rules in "hostports" chain'), str(ports))
        run("nft", "flush", "chain", "inet", "berth_cni", "prerouting")
        refused(host.own, "CHECK", "portmap", {**chain[1], "prevResult": result}, pod)
        run("nft", "delete", "table", "bridge", "berth_cni")
        contains(refused(host.own, "CHECK", "bridge", {**chain[0], "prevResult": result}, pod).msg, "spoof-check rule")
        host.own.delete(chain, pod, result)


@test
def test_an_interface_name_that_is_a_pattern_is_refused(host):
    with Pod("e%d") as pod:
        error = refused(host.own, "ADD", "bridge", full_bridge(), pod)
        equal((error.code, error.msg), (4, "interface name contains / or : or % or whitespace characters"))
        equal(left_behind(), [])
        equal(len(pod.run("ip", "-o", "link").splitlines()), 1, "interfaces of the pod")
