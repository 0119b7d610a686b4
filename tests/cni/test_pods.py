# SPDX-License-Identifier: Apache-2.0
"""Whole pods while plugins and berthd are killed at any moment: nothing stays, and a start of berthd runs CNI GC.
BERTH_CNI_PODS: how many pods (1000 in a long run)."""
import concurrent.futures
import os
import pathlib
import random
import signal
import subprocess
import threading
import time

from support import environment, oci, registry, snapshot
from support.node import Node
from support.suite import equal, eventually, test

PODS = int(os.environ.get("BERTH_CNI_PODS", "60"))
AT_ONCE = 8
EVERY_SECONDS = 2.0  # berthd is killed
TRIES = 400
CONFLIST = """{"cniVersion": "1.1.0", "name": "pods", "plugins": [
 {"type": "bridge", "bridge": "brpods", "isGateway": true, "ipMasq": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.79.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
 {"type": "portmap", "capabilities": {"portMappings": true}}]}
"""


def plugin_of(node):
    """A process of a CNI plugin that this node's berthd has started, or None."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        name = stat.partition("(")[2].rpartition(")")[0]
        if int(stat.rpartition(")")[2].split()[1]) == node.daemon.pid and name in ("bridge", "portmap", "loopback", "berth-cni"):
            return int(entry)
    return None


class Killer(threading.Thread):
    """Kills plugins as it finds them, and berthd every two seconds; counts both."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.over, self.lock = node, threading.Event(), threading.Lock()
        self.plugins = self.daemons = 0
        self.random = random.Random(11)

    def run(self):
        last = time.monotonic()
        while not self.over.is_set():
            found = plugin_of(self.node)
            if found is not None and self.random.random() < 0.1:
                try:
                    os.kill(found, signal.SIGKILL)
                    self.plugins += 1
                except ProcessLookupError:
                    pass
            if time.monotonic() - last > EVERY_SECONDS:
                self.node.kill()
                self.daemons += 1
                self.node.start()
                last = time.monotonic()
            time.sleep(0.001)


def until_it_works(node, *arguments):
    """What a kubelet does: the same call again, after a while, until it is told of success."""
    for _ in range(TRIES):
        result = node.crictl(*arguments, check=False)
        if result.code == 0 or "code = NotFound" in result.text and arguments[0] in ("stopp", "rmp"):
            return result.out.strip()
        time.sleep(0.05)
    raise AssertionError(f"crictl {arguments}: still fails after {TRIES} tries: {result.text}")


def below_run_netns():
    return {entry.name for entry in pathlib.Path("/run/netns").iterdir()} if os.path.isdir("/run/netns") else set()


@test(seconds=3000)
def test_pods_come_and_go_while_plugins_and_berthd_are_killed(_):
    images = registry.Registry(environment.WORK, environment.STORE / "pods-registry", 5003)
    node = Node(environment.WORK / "pods-node", environment.STORE / "pods-root", "/run/berth-pods")
    (node.cni / "10-test.conflist").write_text(CONFLIST)
    node.start()
    before_links, before_rules, before_routes = snapshot.links(), snapshot.rules(), snapshot.routes()
    killer = Killer(node)
    killer.start()

    def remove(number, *state):
        for identifier in until_it_works(node, "pods", "-q", "--name", f"^pod-{number}$", *state).split():
            until_it_works(node, "stopp", identifier)
            until_it_works(node, "rmp", identifier)

    def life(number):
        config = node.pod_config(f"pod-{number}", port_mappings=[{"protocol": 0, "container_port": 80, "host_port": 20000 + number}])
        path = node.file(config)
        for _ in range(TRIES):
            result = node.crictl("runp", path, check=False)
            if result.code == 0:
                break
            remove(number, "--state", "notready")  # what could not be undone while a plugin was killed is listed
            time.sleep(0.05)
        else:
            raise AssertionError(f"pod {number}: {result.text}")
        remove(number)

    try:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(life, range(PODS)))
    finally:
        killer.over.set()
        killer.join(60)
    print(f"{PODS} pods, {killer.plugins} plugins and {killer.daemons} times berthd killed", flush=True)
    assert killer.daemons > 0 and killer.plugins > 0, "nothing was killed"
    equal(node.ids("pods"), [], "pods that stayed")
    # A lease and a veth of nobody, as a plugin of an unknown past would leave them: the next start's CNI GC takes them.
    lease = pathlib.Path("/var/lib/cni/networks/pods/10.79.3.3")
    lease.write_text("somebody\r\neth0")
    node.kill()
    node.start()
    eventually(lambda: not lease.exists(), seconds=10)
    eventually(lambda: equal((snapshot.links() - before_links - {"brpods:"}, below_run_netns()), (set(), set()), "left") or True)
    equal(sorted(p.name for p in lease.parent.iterdir() if p.name[0].isdigit()), [], "leases")
    equal({line for line in snapshot.routes() - before_routes if "brpods" not in line}, set(), "routes")
    equal({line for line in snapshot.rules() - before_rules if "10.79" in line or "dport" in line}, set(), "rules")
    node.close()
    images.close()
    subprocess.run(["ip", "link", "delete", "brpods"], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", lease.parent], check=True)
