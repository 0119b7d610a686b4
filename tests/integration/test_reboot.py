# SPDX-License-Identifier: Apache-2.0
"""The machine was restarted: another boot id, no process and no network namespace of before; what lies on disk may be stale."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import time

from support import environment
from support.node import SLEEP
from support.suite import contains, equal, eventually, test

BOOT_ID = "/proc/sys/kernel/random/boot_id"
PINS = pathlib.Path("/run/netns")


def berth_processes():
    """Monitors, and the containers below them; berthd is dead."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = (int(after[1]), (entry / "comm").read_text().strip())
    found = {pid for pid, (_, name) in parents.items() if name in ("berth-monitor", "berth-stream")}
    while True:
        more = {pid for pid, (parent, _) in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def power_off(node):
    """All processes at once, by descriptors of them; namespaces go with them and their pins' mounts."""
    if node.running():
        node.kill()
    for pid in berth_processes():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL)
    eventually(lambda: not berth_processes())
    if PINS.is_dir():
        for pin in PINS.iterdir():
            subprocess.run(["umount", pin], check=True)
        subprocess.run(["umount", PINS], stderr=subprocess.DEVNULL)  # a mount itself, as `ip netns` makes it
    for link in json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, text=True).stdout):
        if link["ifname"] != "lo":
            subprocess.run(["ip", "link", "del", link["ifname"]], stderr=subprocess.DEVNULL)
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    environment._remove_cgroups()


@contextlib.contextmanager
def rebooted(node, keep_state):
    """The daemon of the next boot. keep_state: the state directory was on a disk, and the pins are plain files now."""
    power_off(node)
    if not keep_state:
        subprocess.run(["umount", node.state], check=False)  # Berth's own private mount
        shutil.rmtree(node.state)
        shutil.rmtree(PINS, ignore_errors=True)
    other = node.work / "boot_id"
    other.write_text("01234567-89ab-4cde-8f01-23456789abcd\n")
    environment.mount(other, BOOT_ID, None, 4096)  # MS_BIND
    try:
        node.start()
        yield
    finally:
        node.kill()
        environment.umount(BOOT_ID)
        node.start()


def leases(node, address):
    """host-local's file of that address, in the network that Berth brings."""
    return list((node.root / "network" / "ipam").rglob(address))


def check_after_reboot(node, keep_state):
    images = node.crictl("images").out
    pod, host = node.pod(port_mappings=[{"container_port": 80, "host_port": 8099}]), node.pod(namespaces={"network": 2})
    running = pod.run(SLEEP, name="running")
    ended = pod.run(["sh", "-c", "exit 42"], name="ended")
    ended.wait_exit()
    created = pod.create(name="created")
    in_host = host.run(SLEEP)
    address = pod.ip()
    equal(len(leases(node, address)), 1, "leases of the address")
    with rebooted(node, keep_state):
        equal(sorted(node.ids("pods", "--state", "notready")), sorted([pod.id, host.id]), "pods that are not ready")
        equal(node.ids("pods", "--state", "ready"), [], "ready pods")
        equal(node.ids("ps"), [], "running containers")
        status = running.status()
        equal((status["state"], status["exitCode"], status["reason"]), ("CONTAINER_EXITED", 255, "Unknown"), "what ran")
        contains(status["message"], "the machine was restarted")
        equal(in_host.status()["exitCode"], 255, "in the host's network")
        status = ended.status()
        equal((status["exitCode"], status["reason"]), (42, "Error"), "what had ended keeps its code")
        equal(node.json("inspect", created)["status"]["state"], "CONTAINER_EXITED", "what was never started")
        equal(leases(node, address), [], "leases: the address is given back at the start")
        node.refused("start", created, code="FailedPrecondition", parts="is not ready")
        # The store is whole, and serves at once.
        equal(node.crictl("images").out, images, "images")
        with node.pod(name="after") as after:
            equal(after.run(["true"]).wait_exit()["exitCode"], 0, "of a new pod")
        # The kubelet's next steps.
        for one in (pod, host):
            node.crictl("stopp", one.id)
            node.crictl("rmp", one.id)
            shutil.rmtree(one.log_directory, ignore_errors=True)
        equal(node.ids("pods"), [], "pods")
        assert not PINS.is_dir() or not list(PINS.iterdir()), list(PINS.iterdir())


@test(seconds=120)
def test_after_a_reboot_pods_are_not_ready_and_containers_exited_with_what_is_known(node):
    check_after_reboot(node, keep_state=False)


@test(seconds=120)
def test_after_a_reboot_with_state_and_pins_of_before_it_is_the_same(node):
    check_after_reboot(node, keep_state=True)


@test(seconds=120)
def test_an_exit_that_was_written_before_the_reboot_is_told_after_it(node):
    pod = node.pod()
    container = pod.run(["sh", "-c", "while [ ! -e /tmp/go ]; do usleep 10000; done; exit 7"])
    container.sh("(sleep 0.5; touch /tmp/go) >/dev/null 2>&1 &")
    node.kill()
    eventually(lambda: (node.state / "pods" / pod.id / "exits" / container.id).exists())
    with rebooted(node, keep_state=True):
        equal((container.status()["exitCode"], container.status()["reason"]), (7, "Error"), "exit")
        node.crictl("rmp", "-f", pod.id)
        shutil.rmtree(pod.log_directory)


PLUGIN = """#!/bin/sh
IN=$(cat)
case "$CNI_COMMAND" in
ADD) echo '{"cniVersion":"1.0.0","interfaces":[],"ips":[{"address":"10.77.0.9/24"}],"dns":{"domain":"of-the-result"}}' ;;
DEL) printf '%s %s %s\\n' "$CNI_CONTAINERID" "$CNI_NETNS" "$IN" >> LOG ;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}' ;;
esac
"""


@test(seconds=120)
def test_cni_del_after_a_reboot_has_the_cached_result(node):
    directory, log = node.work / "recorder-plugins", node.work / "del.log"
    directory.mkdir()
    plugin = directory / "recorder"
    plugin.write_text(PLUGIN.replace("LOG", str(log)))
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    old = node.config.read_text()
    node.write_config({"network": {"bin_dirs": [str(directory)]}})
    (node.cni / "10-recorder.conflist").write_text(json.dumps(
        {"cniVersion": "1.0.0", "name": "recorded", "plugins": [{"type": "recorder"}]}))
    node.restart()
    try:
        pod = node.pod()
        equal(pod.ip(), "10.77.0.9", "address")
        with rebooted(node, keep_state=False):
            identifier, _, given = log.read_text().strip().split("\n")[0].split(" ", 2)
            equal(identifier, pod.id, "CNI_CONTAINERID")
            equal(json.loads(given)["prevResult"]["dns"]["domain"], "of-the-result", "prevResult")
            node.crictl("rmp", "-f", pod.id)
            shutil.rmtree(pod.log_directory)
    finally:
        (node.cni / "10-recorder.conflist").unlink()
        shutil.rmtree(directory)
        log.unlink(missing_ok=True)
        node.config.write_text(old)
        node.restart()
        time.sleep(0.1)
