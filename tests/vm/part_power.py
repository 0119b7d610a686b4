# SPDX-License-Identifier: Apache-2.0
"""Inside the virtual machine: pulls, removals and pods without a pause until the power is cut, and what must be true after it.
inside.py power churn SEED | check JSON"""
import json
import pathlib
import random
import subprocess
import threading
import time

import guest
import noise
from support.node import Failed, Pod
from support.suite import equal, eventually

LAYERS = json.loads(pathlib.Path("/payload/registry/noise.json").read_text())
NAMES = [f"127.0.0.1:5000/test/noise-{n}:1" for n in range(noise.IMAGES)]
BUSYBOX = "127.0.0.1:5000/test/busybox:1"


def say(*words):
    print(*words, flush=True)  # cuts.py reads it


def images(rng, node, locks):
    """One call at a time for each image: what a client was told last is what must be true."""
    while True:
        number, what = rng.randrange(noise.IMAGES), rng.choice(("pull", "rmi"))
        with locks[number]:
            say("begin", what, number)
            say("done", what, number, node.crictl(what, NAMES[number], check=False).code)
        time.sleep(rng.random() * 2)  # in which no call is under way for it


def pods(rng, node):
    while True:
        with node.pod(name=f"churn-{rng.randrange(1 << 30)}") as pod:
            pod.run(["sleep", "1000"]).exec("true")
        say("pod")


def forever(function, *arguments):
    while True:
        try:
            function(*arguments)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            print(f"churn: {str(error)[:200]}", flush=True)


def churn(seed):
    rng, node = random.Random(seed), guest.UnitNode()
    eventually(node.running, seconds=180)
    node.crictl("pull", BUSYBOX)
    locks = [threading.Lock() for _ in NAMES]
    for function, *arguments in ((images, locks), (images, locks), (pods,)):
        threading.Thread(target=forever, args=(function, random.Random(rng.random()), node, *arguments), daemon=True).start()
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


def records(node):
    """The databases are whole, and none was set aside."""
    bad = [path.name for path in (node.root, node.root / "images") for path in path.glob("*.bad")]
    equal(bad, [], "databases that were set aside")
    for path in (node.root / "berth.db", node.root / "images" / "images.db"):
        equal(guest.run("sqlite3", "-readonly", str(path), "PRAGMA integrity_check"), "ok", path.name)
    wrong = [line for line in guest.run("dmesg").splitlines() if "EXT4-fs error" in line or "EXT4-fs warning" in line]
    equal(wrong, [], "the file system, which is the disk's fault")


def listed(node):
    found = json.loads(node.crictl("images", "-o", "json").out)["images"]
    return {name for image in found for name in image["repoTags"]}


def check(told):
    """Raises with what is wrong; else one line of what was seen. told: image number -> whether a client knows it to be there."""
    node = guest.UnitNode()
    # Type=notify: the machine takes commands while berthd still looks at what it finds.
    eventually(node.running, seconds=60)
    wrong, looked = damaged_layers(node)
    assert not wrong, "damaged layers:\n" + "\n".join(wrong[:20])
    records(node)
    verified = node.berth("image", "verify", check=False, timeout=300)
    assert verified.code == 0, f"berth image verify: {verified.text}"
    there = listed(node)
    want = {NAMES[int(number)]: here for number, here in told.items()} | {BUSYBOX: True}
    equal({name: name in there for name in want}, want, "what clients were told before the cut")
    states = [item["state"] for item in json.loads(node.crictl("ps", "-a", "-o", "json").out)["containers"]]
    assert set(states) <= {"CONTAINER_EXITED"}, f"containers after a reboot: {states}"
    sandboxes = [item["state"] for item in json.loads(node.crictl("pods", "-o", "json").out)["items"]]
    assert set(sandboxes) <= {"SANDBOX_NOTREADY"}, f"pods after a reboot: {sandboxes}"
    left = [path.name for path in (node.root / "images" / "tmp").iterdir()]
    equal(left, [], "unfinished layers after the start")
    node.crictl("rmp", "-fa", timeout=120)
    equal([path.name for path in (node.root / "containers").iterdir()], [], "containers' files")
    next_ones(node)
    print(f"{looked} layers were whole, {len(there)} images, {len(want)} of them as clients were told, {len(sandboxes)} pods, "
          f"{len(states)} containers", flush=True)
    return 0


def next_ones(node):
    for name in [*NAMES, BUSYBOX]:
        node.crictl("pull", name, timeout=120)
    wrong, whole = damaged_layers(node)
    assert not wrong, "damaged layers after the next pull:\n" + "\n".join(wrong[:20])
    equal(whole, len(LAYERS), "layers after the next pull")
    with Pod(node, node.pod_config(name="after-the-cut")) as pod:
        equal(pod.run(["sleep", "1000"]).sh("echo in").strip(), "in", "exec")
    leases = [path.name for path in (node.root / "network" / "ipam").rglob("[0-9]*.*")]
    assert not leases, f"address leases of nobody: {leases}"


def main(what, *arguments):
    try:
        return churn(int(arguments[0])) if what == "churn" else check(json.loads(arguments[0]))
    except (AssertionError, Failed) as error:
        print(error, flush=True)
        return 1
