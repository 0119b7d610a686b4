#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""16 clients at once against a real berthd, each answer judged by the model of the engine's own race tests; pulls, removals of
images and lists meanwhile; then nothing may be left.   run.py [ROUNDS [SEED [SECONDS]]]"""
import pathlib
import random
import subprocess
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, oci, registry, snapshot, suite, tools
from support.node import IMAGE, Node
from support.snapshot import Snapshot

PULLED = "127.0.0.1:5000/test/pulled:{}"
CLIENTS = 16


class Puller(threading.Thread):
    """PullImage, RemoveImage and CreateContainer of the same image by several at once."""
    EXPECTED = ("not found", "no such image", "is in use", "being removed", "image is used")

    def __init__(self, node, tag, seed):
        super().__init__(daemon=True)
        self.node, self.image, self.random = node, PULLED.format(tag), random.Random(seed)
        self.over, self.wrong, self.done = threading.Event(), [], 0

    def run(self):
        while not self.over.is_set():
            done = self.node.crictl(*self.random.choice((["pull", self.image], ["rmi", self.image])), check=False)
            self.done += 1
            if done.code != 0 and not any(part in done.text.lower() for part in self.EXPECTED):
                self.wrong.append(done.text)


def one_round(node, seed, seconds, before):
    pullers = [Puller(node, tag, seed + n) for n, tag in enumerate((1, 1, 2))]
    for puller in pullers:
        puller.start()
    done = subprocess.run([tools.berth_binary("berth-races"), node.socket, IMAGE, node.logs, "race", str(seed), str(seconds), str(CLIENTS)],
                          capture_output=True, text=True, timeout=seconds + 240)
    for puller in pullers:
        puller.over.set()
    for puller in pullers:
        puller.join(60)
        assert not puller.is_alive(), "a pull hangs"
        assert not puller.wrong, "pull or removal of an image: " + puller.wrong[0]
    print(f"       {done.stdout.strip()}; {sum(puller.done for puller in pullers)} pulls and removals of images", flush=True)
    assert done.returncode == 0, done.stderr
    for tag in (1, 2):  # whatever the order was, the store gives whole images
        node.crictl("pull", PULLED.format(tag))
        node.berth("image", "verify", PULLED.format(tag))
        node.crictl("rmi", PULLED.format(tag))
    subprocess.run(f"rm -rf {node.logs}/*", shell=True, check=True)
    before.assert_nothing_added(snapshot.of_the_node_itself, seconds=10)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    first = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 20)
    seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 15
    images = registry.Registry(environment.WORK, environment.STORE / "registry", 5000)
    push = oci.Push(images.host)
    base = oci.busybox_tree().bytes()
    push.image("test/busybox", "1", oci.Image([base], {"Env": [oci.PATH]}))
    shared = oci.Tree().file("shared", b"s" * 300_000).bytes()
    for tag in ("1", "2"):
        push.image("test/pulled", tag, oci.Image([shared, oci.Tree().file(f"own-{tag}", tag.encode() * 300_000).bytes()], {"Env": [oci.PATH]}))
    node = Node(environment.WORK / "node", environment.STORE / "root", "/run/berth")
    node.start()
    node.crictl("pull", IMAGE)
    before = Snapshot([node.root, node.state, "/run/netns", "/var/lib/cni", node.logs])
    counter = suite.Counter()
    for number in range(rounds):
        seed = first + number
        mark, began = node.log_mark(), time.monotonic()
        try:
            one_round(node, seed, seconds, before)
            assert node.running(), "berthd has ended"
            counter.ok(f"round {number + 1}, seed {seed}", time.monotonic() - began)
        except Exception:
            counter.fail(f"round {number + 1}, seed {seed}", f"{traceback.format_exc()[-6000:]}\n--- berthd's log\n{node.log_since(mark)}")
            node.recover()
    node.close()
    images.close()
    return counter.finish()


if __name__ == "__main__":
    tools.crictl()
    for name in ("berthd", "berth-races"):
        tools.berth_binary(name)
    environment.run_isolated(main, seconds=environment.SUITE_SECONDS + (int(sys.argv[1]) * int(sys.argv[3]) if len(sys.argv) > 3 else 0))
