# SPDX-License-Identifier: Apache-2.0
"""Inside the virtual machine: pulls, removals and pods without a pause until the power is cut, and what must be true after it.
inside.py power churn SEED | check"""
import json
import pathlib
import random
import subprocess
import threading

import guest
import noise
from support.node import Failed, Pod
from support.suite import equal, eventually

LAYERS = json.loads(pathlib.Path("/payload/registry/noise.json").read_text())
NAMES = [f"127.0.0.1:5000/test/noise-{n}:1" for n in range(noise.IMAGES)]
BUSYBOX = "127.0.0.1:5000/test/busybox:1"


def images(rng, node):
    while True:
        name = rng.choice(NAMES)
        node.crictl("pull" if rng.random() < 0.6 else "rmi", name, check=False)


def pods(rng, node, number):
    while True:
        with node.pod(name=f"churn-{number}-{rng.randrange(1 << 30)}") as pod:
            pod.run(["sleep", "1000"]).exec("true")


def forever(function, *arguments):
    while True:
        try:
            function(*arguments)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            print(f"churn: {str(error)[:200]}", flush=True)


def churn(seed):
    rng, node = random.Random(seed), guest.UnitNode()
    node.crictl("pull", BUSYBOX)
    print("churning", flush=True)
    works = [(images, random.Random(rng.random()), node) for _ in range(2)] + [(pods, random.Random(rng.random()), node, 1)]
    for work in works:
        threading.Thread(target=forever, args=work, daemon=True).start()
    threading.Event().wait()


def damaged_layers(node):
    """Each layer that the store has, byte by byte, without asking Berth."""
    wrong, looked = [], 0
    for path in (node.root / "images" / "layers").iterdir():
        seed = LAYERS.get(f"sha256:{path.name}")
        if seed is not None:
            looked += 1
            wrong += [f"{path.name[:12]}: {line}" for line in noise.damage(path / "fs", seed)]
    return wrong, looked


def check():
    """Raises with what is wrong; else one line of what was seen."""
    node = guest.UnitNode()
    # Type=notify: the machine takes commands while berthd still looks at what it finds.
    eventually(node.running, seconds=180)
    wrong, looked = damaged_layers(node)
    assert not wrong, "damaged layers:\n" + "\n".join(wrong[:20])
    verified = node.berth("image", "verify", check=False, timeout=300)
    assert verified.code == 0, f"berth image verify: {verified.text}"
    listed = json.loads(node.crictl("images", "-o", "json").out)["images"]
    states = [item["state"] for item in json.loads(node.crictl("ps", "-a", "-o", "json").out)["containers"]]
    assert set(states) <= {"CONTAINER_EXITED"}, f"containers after a reboot: {states}"
    sandboxes = [item["state"] for item in json.loads(node.crictl("pods", "-o", "json").out)["items"]]
    assert set(sandboxes) <= {"SANDBOX_NOTREADY"}, f"pods after a reboot: {sandboxes}"
    left = [path.name for path in (node.root / "images" / "tmp").iterdir()]
    equal(left, [], "unfinished layers after the start")
    node.crictl("rmp", "-fa", timeout=120)
    equal([path.name for path in (node.root / "containers").iterdir()], [], "containers' files")
    for name in [*NAMES, BUSYBOX]:
        node.crictl("pull", name, timeout=120)
    wrong, whole = damaged_layers(node)
    assert not wrong, "damaged layers after the next pull:\n" + "\n".join(wrong[:20])
    equal(whole, len(LAYERS), "layers after the next pull")
    with Pod(node, node.pod_config(name="after-the-cut")) as pod:
        equal(pod.run(["sleep", "1000"]).sh("echo in").strip(), "in", "exec")
    leases = [path.name for path in (node.root / "network" / "ipam").rglob("[0-9]*.*")]
    assert not leases, f"address leases of nobody: {leases}"
    print(f"{looked} layers were whole, {len(listed)} images, {len(sandboxes)} pods, {len(states)} containers", flush=True)
    return 0


def main(what, *arguments):
    try:
        return churn(int(arguments[0])) if what == "churn" else check()
    except (AssertionError, Failed) as error:
        print(error, flush=True)
        return 1
