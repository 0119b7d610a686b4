# SPDX-License-Identifier: Apache-2.0
"""Records that are truncated, changed or of a newer version: what cannot be read is UNKNOWN, nothing else is lost. A database file
that is none any more: everything that runs is listed again, runs on, can be stopped and removed."""
import contextlib
import os
import random
import sqlite3
import subprocess
import time

import invariants
from invariants import Counts
from kubelet import IMAGE, Kubelet
from support import snapshot, suite
from support.snapshot import Snapshot


def truncated(body):
    return body[:len(body) // 2]


def empty(_):
    return ""


def flipped(body):
    """One bit of a byte that JSON needs."""
    at = body.index('":')
    return body[:at] + chr(ord('"') ^ 4) + body[at + 1:]


def newer(body):
    return body.replace('"version":1', '"version":2')


def no_text(body):
    return body.encode()  # a blob


ROWS = [truncated, empty, flipped, newer, no_text]


def header(path):
    with open(path, "r+b") as file:
        file.write(os.urandom(100))


def zeroes(path):
    size = path.stat().st_size
    path.write_bytes(bytes(size))


def cut(part):
    def truncate(path):
        os.truncate(path, int(path.stat().st_size * part))
    truncate.__name__ = f"truncated to {part:.0%}"
    return truncate


def pages(path):
    """A third of the pages, not the first."""
    rng = random.Random(1)
    with open(path, "r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            if page == 1 or rng.random() < 0.34:
                file.seek(page * 4096)
                file.write(rng.randbytes(4096))


def no_database(path):
    path.write_bytes(b"this is no database\n" * 1000)


FILES = [header, zeroes, cut(0), cut(0.5), pages, no_database]


class Corrupt:
    def __init__(self, node, calls, run, start):
        self.node, self.calls, self.run_one, self.start, self.number = node, calls, run, start, 60000
        self.before = Snapshot([node.root, node.state, "/run/netns", "/var/lib/cni", node.logs])

    def kubelet(self):
        self.number += 1
        return Kubelet(self.node, self.calls, self.number)

    def running(self):
        kubelet = self.kubelet()
        for step in (kubelet.run, kubelet.create_a, kubelet.start_a):
            step()
        return kubelet

    def down(self):
        """berthd ends, and what it had in its log of changes is in the file."""
        self.node.stop_daemon()

    def alive(self, kubelet):
        """Everything of this pod is as it was, and works."""
        kubelet.expect_pod("SANDBOX_READY")
        listed = kubelet.listed_pods()[0]
        suite.equal(listed["metadata"]["name"], kubelet.config["metadata"]["name"], "name")
        suite.equal(kubelet.container_state(kubelet.a), "RUNNING", "state")
        kubelet.exec_sync()
        Counts.checked += 4

    def remove(self, *kubelets):
        for kubelet in kubelets:
            self.calls("StopPodSandbox", {"pod_sandbox_id": kubelet.pod})
            self.calls("RemovePodSandbox", {"pod_sandbox_id": kubelet.pod})

    def nothing_left(self):
        suite.equal(self.calls("ListPodSandbox").get("items", []), [], "pods")
        suite.equal(self.calls("ListContainers").get("containers", []), [], "containers")
        invariants.check(self.node, self.calls)
        for directory in self.node.logs.iterdir():
            subprocess.run(["rm", "-rf", directory], check=True)
        aside = [*self.node.root.glob("*.db.bad*"), *(self.node.root / "images").glob("*.db.bad*")]
        for path in aside:
            path.unlink()
        self.before.assert_nothing_added(snapshot.of_the_node_itself, seconds=6)
        return aside

    # ------------------------------------------------------------------ rows
    def change_row(self, table, identifier, damage):
        with contextlib.closing(sqlite3.connect(self.node.root / "berth.db")) as database:
            body, = database.execute(f"SELECT body FROM {table} WHERE id=?", (identifier,)).fetchone()
            database.execute(f"UPDATE {table} SET body=? WHERE id=?", (damage(body), identifier))
            database.commit()

    def row_case(self, table, damage):
        good, bad = self.running(), self.running()
        pid = bad.process()
        self.down()
        self.change_row(table, bad.pod if table == "sandboxes" else bad.a, damage)
        self.start()
        self.alive(good)
        pods = {p["id"]: p["state"] for p in self.calls("ListPodSandbox").get("items", [])}
        suite.equal(pods.get(bad.pod), "SANDBOX_NOTREADY" if table == "sandboxes" else "SANDBOX_READY", "pod of the bad row")
        suite.equal(bad.container_state(bad.a), "RUNNING" if table == "sandboxes" else "UNKNOWN", "container of the bad row")
        assert os.path.exists(f"/proc/{pid}"), "the container's process is gone"
        if table == "containers":
            self.calls("StopContainer", {"container_id": bad.a, "timeout": 0})
            self.calls("RemoveContainer", {"container_id": bad.a})
            suite.equal(bad.container_state(bad.a), None, "removed")
        self.remove(bad)
        self.alive(good)
        self.remove(good)
        self.nothing_left()

    # ------------------------------------------------------------------ exit records
    def exit_case(self, text):
        good, bad = self.running(), self.running()
        process = bad.process()
        self.down()
        os.kill(invariants.monitor_of(self.node, bad.pod), 9)
        os.kill(process, 9)
        (self.node.state / "pods" / bad.pod / "exits" / bad.a).write_bytes(text)
        self.start()
        self.alive(good)
        status = self.calls("ContainerStatus", {"container_id": bad.a})["status"]
        suite.equal(status["state"], "CONTAINER_UNKNOWN", "state")
        self.remove(bad, good)
        self.nothing_left()

    def handler_case(self, text):
        """Which OCI runtime a pod has, when its monitor is dead."""
        kubelet = self.running()
        self.down()
        os.kill(invariants.monitor_of(self.node, kubelet.pod), 9)
        (self.node.state / "pods" / kubelet.pod / "handler").write_bytes(text)
        self.start()
        self.remove(kubelet)
        self.nothing_left()

    # ------------------------------------------------------------------ files
    def file_case(self, damage, log):
        if log:  # what is in the database itself is what there was before
            self.down()
            self.start()
        one, two = self.running(), self.running()
        ended = self.kubelet()
        for step in (ended.run, ended.create_b, ended.start_b):
            step()
        self.calls("StopContainer", {"container_id": ended.b, "timeout": 0})
        if log:  # berthd is killed, so that its last changes are in the log only
            self.node.kill()
        else:
            self.down()
        damage(self.node.root / ("berth.db-wal" if log else "berth.db"))
        self.start()
        for kubelet in (one, two):
            self.alive(kubelet)
        ended.expect_pod("SANDBOX_READY")
        suite.equal(ended.container_state(ended.b), "EXITED", "the one that had ended")
        suite.equal(self.calls("ContainerStatus", {"container_id": ended.b})["status"]["exit_code"], 137, "its exit code")
        one.create_b()
        one.start_b()
        self.node.kill()  # what was found is on record now
        self.start()
        self.alive(one)
        one.stop_a()
        one.remove_a()
        self.remove(one, two, ended)
        self.nothing_left()

    def images_case(self, damage):
        kubelet = self.running()
        before = self.calls("ListImages").get("images", [])
        self.down()
        damage(self.node.root / "images" / "images.db")
        self.start()
        self.alive(kubelet)
        suite.equal(self.calls("ListImages").get("images", []), before, "images")
        kubelet.create_b()
        kubelet.start_b()
        self.node.kill()
        self.start()
        self.alive(kubelet)
        self.remove(kubelet)
        self.nothing_left()
        self.calls("PullImage", {"image": {"image": IMAGE}})

    def all(self):
        for table in ("sandboxes", "containers"):
            for damage in ROWS:
                self.run_one(f"record of {table}: {damage.__name__}", self.row_case, table, damage)
        for name, text in (("empty", b""), ("truncated", b"1 0 0"), ("garbage", bytes(range(200))), ("newer", b"2 0 0 0 5 x\n"),
                           ("long", b"1 " * 5000)):
            self.run_one(f"exit record: {name}", self.exit_case, text)
        for name, text in (("empty", b""), ("unknown", b"nothing-like-it"), ("garbage", bytes(range(200)))):
            self.run_one(f"handler of a pod: {name}", self.handler_case, text)
        for damage in FILES:
            self.run_one(f"berth.db: {damage.__name__}", self.file_case, damage, False)
        for damage in (header, pages, no_database):
            self.run_one(f"berth.db-wal: {damage.__name__}", self.file_case, damage, True)
        for damage in FILES:
            self.run_one(f"images.db: {damage.__name__}", self.images_case, damage)
