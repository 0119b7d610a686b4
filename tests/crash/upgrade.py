# SPDX-License-Identifier: Apache-2.0
"""berthd replaced by another build, and by ones whose monitors speak an older or a newer protocol, while pods run: all run on, and
everything works on both kinds. With --earlier=DIR, the programs of an earlier version, from that version to this one and back too."""
import os
import pathlib
import shutil
import subprocess

import invariants
from invariants import Counts
from kubelet import Kubelet
from support import snapshot, suite, tools
from support.snapshot import Snapshot


class Upgrade:
    def __init__(self, node, calls, run, wait_ready):
        self.node, self.calls, self.run_one, self.wait_ready, self.number = node, calls, run, wait_ready, 70000
        self.before = Snapshot([node.root, node.state, "/run/netns", "/var/lib/cni", node.logs])

    def build(self, name, monitor="berth-monitor"):
        """The programs in a directory of their own, perhaps with another monitor."""
        directory = self.node.work / f"build-{name}"
        directory.mkdir(exist_ok=True)
        for program in ("berthd", "berth-fetch", "berth-unpack", "berth-stream", "berth-cni"):
            shutil.copy2(tools.berth_binary(program), directory / program)
        shutil.copy2(tools.berth_binary(monitor), directory / "berth-monitor")
        return directory

    def change_to(self, directory, clean):
        if clean:
            self.node.stop_daemon()
        else:
            self.node.kill()
        with open(self.node.log, "ab") as log:
            self.node.daemon = subprocess.Popen([directory / "berthd", "--config", self.node.config], stdin=subprocess.DEVNULL,
                                                stdout=log, stderr=log, start_new_session=True)
        self.wait_ready()
        suite.equal(os.readlink(f"/proc/{self.node.daemon.pid}/exe"), str(directory / "berthd"), "program")

    def running(self):
        self.number += 1
        kubelet = Kubelet(self.node, self.calls, self.number)
        for step in (kubelet.run, kubelet.create_a, kubelet.start_a, kubelet.exec_sync):
            step()
        kubelet.pid = kubelet.process()
        return kubelet

    def works(self, kubelet):
        """The pod runs on, and everything can be done in it."""
        kubelet.expect_pod("SANDBOX_READY")
        suite.equal(kubelet.process(), kubelet.pid, "the container's process")
        kubelet.exec_sync()
        kubelet.exec_stream()
        kubelet.create_b()
        kubelet.start_b()
        self.calls("StopContainer", {"container_id": kubelet.b, "timeout": 0})
        self.calls("RemoveContainer", {"container_id": kubelet.b})
        kubelet.b = None
        Counts.checked += 6

    def case(self, name, monitor, clean):
        directory = self.build(name, monitor)
        old = self.running()
        self.change_to(directory, clean)
        self.works(old)
        new = self.running()
        suite.equal(os.readlink(f"/proc/{invariants.monitor_of(self.node, new.pod)}/exe"), str(directory / "berth-monitor"),
                    "monitor of a new pod")
        self.works(new)
        # And back, as an operator does whom the new one disappoints.
        self.change_to(tools.BIN, clean)
        self.end(old, new)

    def from_earlier(self, directory, clean):
        self.change_to(directory, True)
        old = self.running()
        self.change_to(tools.BIN, clean)
        self.works(old)
        new = self.running()
        self.works(new)
        self.change_to(directory, clean)
        self.works(old)
        self.works(new)
        self.change_to(tools.BIN, clean)
        self.end(old, new)

    def end(self, *kubelets):
        for kubelet in kubelets:
            self.works(kubelet)
        for kubelet in kubelets:
            kubelet.stop_a()
            kubelet.remove_a()
            kubelet.stop_pod()
            kubelet.remove_pod()
        invariants.check(self.node, self.calls)
        for directory in self.node.logs.iterdir():
            subprocess.run(["rm", "-rf", directory], check=True)
        self.before.assert_nothing_added(snapshot.of_the_node_itself, seconds=6)

    def all(self, earlier=None):
        self.run_one("upgrade: another build, in good order", self.case, "other", "berth-monitor", True)
        self.run_one("upgrade: another build, berthd killed", self.case, "other", "berth-monitor", False)
        self.run_one("upgrade: monitors of a newer protocol", self.case, "newer", "berth-monitor-newer", True)
        self.run_one("upgrade: monitors of an older protocol", self.case, "older", "berth-monitor-older", True)
        if earlier:
            directory = pathlib.Path(earlier).resolve()
            self.run_one("upgrade: from an earlier version and back, in good order", self.from_earlier, directory, True)
            self.run_one("upgrade: from an earlier version and back, berthd killed", self.from_earlier, directory, False)
