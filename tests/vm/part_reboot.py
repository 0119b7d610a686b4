# SPDX-License-Identifier: Apache-2.0
"""Inside the virtual machine, before and after a reboot: what ran is NOTREADY and EXITED, its network was given back with the
result that ADD had, images are whole.   inside.py reboot before | after"""
import json
import pathlib
import shutil
import time

import guest
from support.node import SLEEP, Pod
from support.suite import Counter, equal, eventually

FACTS = guest.WORK / "before.json"
CALLS = guest.WORK / "cni-calls"
BUSYBOX = "127.0.0.1:5000/test/busybox:1"
# Last in the chain: keeps what each call is given, and answers ADD with the result so far.
WITNESS = f"""#!/usr/bin/python3
import json, os, sys, time
given = json.load(sys.stdin)
with open(f"{CALLS}/{{time.time_ns()}}-{{os.environ['CNI_COMMAND']}}-{{os.environ.get('CNI_CONTAINERID', '')}}", "w") as file:
    json.dump({{"given": given, "netns": os.environ.get("CNI_NETNS", "")}}, file)
if os.environ["CNI_COMMAND"] == "ADD":
    print(json.dumps(given["prevResult"]))
elif os.environ["CNI_COMMAND"] == "VERSION":
    print('{{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}}')
"""
NETWORK = {"cniVersion": "1.0.0", "name": "vm", "plugins": [
    {"type": "bridge", "bridge": "vm0", "isGateway": True, "ipMasq": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "witness"}]}


def calls(command, pod):
    return [json.loads(path.read_text()) for path in sorted(CALLS.glob(f"*-{command}-{pod}"))]


def before():
    CALLS.mkdir(exist_ok=True)
    plugin = pathlib.Path("/opt/cni/bin/witness")
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.write_text(WITNESS)
    plugin.chmod(0o755)
    node = guest.UnitNode()
    (node.cni / "10-vm.conflist").write_text(json.dumps(NETWORK))
    node.crictl("pull", BUSYBOX)
    pod = node.pod(name="before", port_mappings=[{"container_port": 80, "host_port": 8099}])
    running = pod.run(SLEEP, name="running")
    done = pod.run(["sh", "-c", "exit 7"], name="done")
    done.wait_exit(60)
    created = pod.create(["true"], name="created")
    equal(len(calls("ADD", pod.id)), 1, "CNI ADD")
    images = json.loads(node.crictl("images", "-o", "json").out)
    FACTS.write_text(json.dumps({"pod": pod.id, "running": running.id, "done": done.id, "created": created, "ip": pod.ip(),
                                 "images": sorted(image["id"] for image in images["images"])}))
    print(f"pod {pod.id[:12]} with {pod.ip()}, a running, an ended and a created container", flush=True)
    return 0


def after():
    facts, node, counter = json.loads(FACTS.read_text()), guest.UnitNode(), Counter()
    pod = facts["pod"]

    def check(name, function):
        began = time.monotonic()
        try:
            function()
            counter.ok(f"reboot: {name}", time.monotonic() - began)
        except Exception as error:
            counter.fail(f"reboot: {name}", f"{error}\n{node.log_since(began and 0)}")

    def state(container):
        status = node.json("inspect", container)["status"]
        return status["state"], status["exitCode"], status["reason"]

    def network():
        eventually(lambda: calls("DEL", pod), seconds=60)
        for call in calls("DEL", pod):
            addresses = [ip["address"] for ip in call["given"].get("prevResult", {}).get("ips", [])]
            equal(addresses, [f"{facts['ip']}/24"], "addresses in the result that DEL is given")
        leases = [path.name for path in pathlib.Path("/var/lib/cni/networks/vm").glob("10.77.*")]
        equal(leases, [], "leases")

    def images():
        listed = json.loads(node.crictl("images", "-o", "json").out)
        equal(sorted(image["id"] for image in listed["images"]), facts["images"], "images")
        print(node.berth("image", "verify", timeout=300).out.strip().splitlines()[-1], flush=True)

    def removal():
        node.crictl("stopp", pod)
        node.crictl("rmp", pod)
        equal((node.ids("pods"), node.ids("ps", "-a")), ([], []), "what is listed")
        equal([path.name for path in (node.root / "containers").iterdir()], [], "containers' files")
        equal([path.name for path in (node.root / "network").iterdir() if path.name.startswith(pod)], [], "network records")

    def next_pod():
        config = node.pod_config(name="before", port_mappings=[{"container_port": 80, "host_port": 8099}])
        config["metadata"]["attempt"] = 1
        with Pod(node, config) as again:
            assert again.run(SLEEP).sh("echo in").strip() == "in"

    check("the service is up by itself", lambda: eventually(node.running, seconds=180))
    check("the pod is NOTREADY", lambda: equal(node.json("inspectp", pod)["status"]["state"], "SANDBOX_NOTREADY", "state"))
    check("the running container is EXITED", lambda: equal(state(facts["running"])[0], "CONTAINER_EXITED", "state"))
    check("the ended one has its exit code", lambda: equal(state(facts["done"])[:2], ("CONTAINER_EXITED", 7), "state"))
    check("the created one is EXITED", lambda: equal(state(facts["created"])[0], "CONTAINER_EXITED", "state"))
    check("CNI DEL was called with the result of ADD, and the address is free", network)
    check("images are as they were", images)
    check("the pod can be removed, and nothing of it is left", removal)
    check("the kubelet's next attempt works", next_pod)
    for path in node.cni.iterdir():
        path.unlink()
    shutil.rmtree(CALLS)
    return counter.finish()


def main(when):
    return before() if when == "before" else after()
