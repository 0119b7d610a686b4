# SPDX-License-Identifier: Apache-2.0
"""Pod networks: the one Berth brings, CNI configuration of the operator's, host ports."""
import contextlib
import http.client
import json
import os
import socket
import subprocess

from support.suite import contains, equal, eventually, test

WEB = "127.0.0.1:5000/test/web:1"


@contextlib.contextmanager
def web_pod(node, **fields):
    node.crictl("pull", WEB)
    with node.pod(**fields) as pod:
        pod.run(None, image=WEB)
        yield pod
    node.crictl("rmi", WEB)


def get(address, port):
    def once():
        try:
            connection = http.client.HTTPConnection(address, port, timeout=3)
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        except OSError as error:
            raise AssertionError(f"http://{address}:{port}: {error}")
    return eventually(once, seconds=10)


@test
def test_host_reaches_a_pod_and_pods_reach_each_other(node):
    with web_pod(node) as server, node.pod() as client:
        contains(get(server.ip(), 80), "Welcome")
        contains(client.run().sh(f"wget -qO- http://{server.ip()}/"), "Welcome")
        equal(client.run(name="c").sh("ip -o link | wc -l").strip(), "2", "interfaces")


@test
def test_loopback_of_a_pod_is_up_and_its_own(node):
    with web_pod(node) as pod:
        container = pod.run(name="second")
        contains(eventually(lambda: container.sh("wget -qO- http://127.0.0.1/")), "Welcome")
        contains(container.sh("ip addr show lo"), "127.0.0.1/8", "LOOPBACK,UP")


@test
def test_host_port_is_reached_from_the_host_itself(node):
    with web_pod(node, port_mappings=[{"protocol": 0, "container_port": 80, "host_port": 8080}]) as pod:
        contains(get("127.0.0.1", 8080), "Welcome")
        bridge = ".".join(pod.ip().split(".")[:2]) + ".0.1"
        contains(get(bridge, 8080), "Welcome")
        contains(pod.run(name="same").sh(f"wget -qO- http://{bridge}:8080/"), "Welcome")  # a pod through its own host port


@test
def test_host_port_is_reached_from_another_machine(node):
    with neighbour() as other, web_pod(node, port_mappings=[{"protocol": 0, "container_port": 80, "host_port": 8081}]):
        def ask():
            done = subprocess.run(["nsenter", "-t", str(other), "-n", "curl", "-s", "-m", "3", "http://192.0.2.1:8081/"],
                                  capture_output=True, text=True)
            return "Welcome" in done.stdout
        eventually(ask)


@contextlib.contextmanager
def neighbour():
    """A network namespace behind a veth pair, as a machine in the same network: the pid that holds it."""
    holder = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
    own = os.readlink("/proc/self/ns/net")
    eventually(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own)
    try:
        def ip(*arguments, inside=False):
            prefix = ["nsenter", "-t", str(holder.pid), "-n"] if inside else []
            subprocess.run([*prefix, "ip", *arguments], check=True)
        ip("link", "add", "outside", "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        ip("addr", "add", "192.0.2.1/24", "dev", "outside")
        ip("link", "set", "outside", "up")
        ip("addr", "add", "192.0.2.2/24", "dev", "eth0", inside=True)
        ip("link", "set", "eth0", "up", inside=True)
        yield holder.pid
    finally:
        subprocess.run(["ip", "link", "del", "outside"])
        holder.kill()
        holder.wait()


@test
def test_udp_host_port(node):
    node.crictl("pull", WEB)
    with node.pod(port_mappings=[{"protocol": 1, "container_port": 5353, "host_port": 5300}]) as pod:
        pod.run(["udp-echo", "5353"], image=WEB)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)

            def ask():
                s.sendto(b"ping", ("127.0.0.1", 5300))
                try:
                    return s.recv(10) == b"ping"
                except OSError:
                    return False
            eventually(ask)
    node.crictl("rmi", WEB)


@test
def test_taken_host_port_of_another_pod_is_free_again_after_it_is_removed(node):
    mapping = [{"protocol": 0, "container_port": 80, "host_port": 8082}]
    for _ in range(2):
        with web_pod(node, port_mappings=mapping):
            contains(get("127.0.0.1", 8082), "Welcome")


@contextlib.contextmanager
def cni(node, name, value):
    path = node.cni / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    try:
        yield
    finally:
        path.unlink()


BRIDGE = {"cniVersion": "1.0.0", "name": "ours", "plugins": [
    {"type": "bridge", "bridge": "ours0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd99::/64"}]],
              "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": True}},
    {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}]}


@test
def test_cni_configuration_of_the_operator_is_used_at_once(node):
    with cni(node, "10-ours.conflist", BRIDGE):
        with web_pod(node, port_mappings=[{"protocol": 0, "container_port": 80, "host_port": 8083}]) as pod:
            network = pod.status()["network"]
            assert network["ip"].startswith("10.99.0."), network
            assert network["additionalIps"][0]["ip"].startswith("fd99::"), network
            contains(get("127.0.0.1", 8083), "Welcome")
            contains(get(network["additionalIps"][0]["ip"], 80), "Welcome")
            equal(pod.run(name="second").sh("cat /proc/sys/net/core/somaxconn").strip(), "500", "tuning plugin")
            contains(open(f"/var/lib/cni/networks/ours/{network['ip']}").read(), pod.id)
            ip = network["ip"]
        assert not os.path.exists(f"/var/lib/cni/networks/ours/{ip}"), "the lease is still there"
    clean_ours()


def clean_ours():
    """The bridge plugin and host-local keep these by themselves, whoever calls them."""
    subprocess.run(["ip", "link", "del", "ours0"], check=True)
    subprocess.run("rm -rf /var/lib/cni/networks /var/lib/cni/cache; for t in iptables ip6tables; do for c in $($t -t nat -S | awk '$1==\"-N\"{print $2}'); do "
                   "$t -t nat -S | grep -- \"-j $c\" | sed 's/^-A/-D/' | while read r; do $t -t nat $r; done; done; "
                   "$t -t nat -F; $t -t nat -X; done; nft flush ruleset", shell=True, capture_output=True)


@test
def test_single_plugin_conf_file_is_accepted(node):
    with cni(node, "20-single.conf", {"cniVersion": "0.4.0", "name": "single", "type": "ptp",
                                      "ipam": {"type": "host-local", "subnet": "10.98.0.0/24"}}):
        with node.pod() as pod:
            assert pod.ip().startswith("10.98.0."), pod.ip()
    subprocess.run(["rm", "-rf", "/var/lib/cni/networks", "/var/lib/cni/cache"])


@test
def test_plugin_gets_the_pods_names(node):
    directory = node.work / "plugins"
    directory.mkdir(exist_ok=True)
    plugin = directory / "spy"
    plugin.write_text('#!/bin/sh\necho "$CNI_COMMAND $CNI_ARGS $CNI_IFNAME $CNI_CONTAINERID" >> ' + str(node.work / "spy.log") +
                      '\n[ "$CNI_COMMAND" = VERSION ] && { echo \'{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}\'; exit; }\n'
                      '[ "$CNI_COMMAND" = ADD ] && echo \'{"cniVersion":"1.0.0","ips":[{"address":"10.97.0.5/24"}]}\'\nexit 0\n')
    plugin.chmod(0o755)
    node.write_config({"network": {"conf_dirs": [str(node.cni)], "bin_dirs": [str(directory), "/usr/lib/cni"]}})
    node.stop_daemon()
    node.start()
    with cni(node, "30-spy.conflist", {"cniVersion": "1.0.0", "name": "spied", "plugins": [{"type": "spy"}]}):
        with node.pod(name="watched") as pod:
            equal(pod.ip(), "10.97.0.5", "address of the result")
            text = (node.work / "spy.log").read_text()
            contains(text, "K8S_POD_NAME=watched", "K8S_POD_NAMESPACE=test", "K8S_POD_UID=uid-watched",
                     f"K8S_POD_INFRA_CONTAINER_ID={pod.id}", " eth0 ")
        contains((node.work / "spy.log").read_text(), "DEL ", pod.id)
    node.write_config({})
    node.stop_daemon()
    node.start()


@test
def test_configuration_that_goes_away_does_not_strand_its_pods(node):
    with cni(node, "20-single.conf", {"cniVersion": "0.4.0", "name": "single", "type": "ptp",
                                      "ipam": {"type": "host-local", "subnet": "10.98.0.0/24"}}):
        pod = node.pod()
        ip = pod.ip()
    assert os.path.exists(f"/var/lib/cni/networks/single/{ip}")
    node.crictl("rmp", "-f", pod.id)
    assert not os.path.exists(f"/var/lib/cni/networks/single/{ip}"), "the lease is still there"
    subprocess.run(["rm", "-rf", "/var/lib/cni/networks", "/var/lib/cni/cache"])
