# SPDX-License-Identifier: Apache-2.0
"""What runs out: blocks, quota, a disk that goes read-only, descriptors, processes, memory, room for logs. One clear error, nothing
damaged, and it works again when there is enough. (Blocks of the image store: test_full_disk.)"""
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

from support import environment
from support.node import IMAGE, NODE, SLEEP, Node
from support.suite import Skip, contains, equal, eventually, test
from test_exits import nanoseconds

MIB = 1 << 20
WEB = "127.0.0.1:5000/test/web:1"
FAILURES = ("No space left on device", "Disk quota exceeded", "Read-only file system", "disk is full", "readonly database", "disk I/O error")


class Disk:
    """An ext4 of its own on a loop device, for one daemon's root."""

    def __init__(self, node, megabytes=48, features=()):
        self.image, self.path = node.work / "small.img", node.work / "small"
        self.path.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(megabytes * MIB)
        made = subprocess.run(["mkfs.ext4", "-q", "-F", *features, self.image], capture_output=True, text=True)
        if made.returncode != 0:
            self.path.rmdir()
            self.image.unlink()
            raise Skip(f"mkfs.ext4: {made.stderr.strip()}")

    def mount(self, options="errors=remount-ro"):
        done = subprocess.run(["mount", "-t", "ext4", "-o", f"loop,{options}", self.image, self.path], capture_output=True, text=True)
        if done.returncode != 0:
            raise Skip(f"mount -o {options}: {done.stderr.strip()}")

    def device(self):
        with open("/proc/self/mounts") as mounts:
            return next(line.split()[0] for line in mounts if line.split()[1] == str(self.path))

    def umount(self):
        subprocess.run(["umount", self.path], stderr=subprocess.DEVNULL)

    def remove(self):
        self.umount()
        self.path.rmdir()
        self.image.unlink()


class SmallNode(Node):
    """Its pods are in the machine's network: two daemons would need two bridges."""

    def pod_config(self, *arguments, **fields):
        fields["namespaces"] = {"network": NODE, **(fields.get("namespaces") or {})}
        return super().pod_config(*arguments, **fields)


@contextlib.contextmanager
def small_node(node, disk, options="errors=remount-ro"):
    """A second daemon, whose root is on that disk. It must be possible to remove everything at the end."""
    other = None
    try:
        disk.mount(options)
        other = SmallNode(node.work / "small-node", disk.path / "root", "/run/berth-small")
        other.start()
        other.crictl("pull", IMAGE)
        yield other
        other.crictl("rmp", "-fa")
        equal(other.stop_daemon(), 0, "exit code")
    finally:
        if other and other.running():
            other.crictl("rmp", "-fa", check=False)
            other.kill()
        subprocess.run(["umount", "/run/berth-small"], stderr=subprocess.DEVNULL)
        shutil.rmtree("/run/berth-small", ignore_errors=True)
        shutil.rmtree(node.work / "small-node", ignore_errors=True)
        disk.remove()


@contextlib.contextmanager
def filled(path):
    """Not a block left, for root neither."""
    filler = path / "filler"
    try:
        with open(filler, "wb") as file:
            for size in (MIB, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(file.fileno(), b"x" * size)
                        os.fsync(file.fileno())
        yield
    finally:
        filler.unlink(missing_ok=True)


def refused(done):
    """One clear error, not a dead end: the code and the kernel's reason."""
    assert any(part in done.text for part in FAILURES), done.text
    assert any(f"code = {code}" in done.text for code in ("Internal", "ResourceExhausted", "FailedPrecondition")), done.text


def refused_without_damage(node, pod, container):
    """A pull is refused. So is a new container, a new pod, or it is whole: the database has some blocks in reserve, and a directory
    may find one. What there is is listed, runs, and can be stopped."""
    pods, containers = sorted(node.ids("pods")), sorted(node.ids("ps", "-a"))
    for _ in range(2):
        done = node.crictl("pull", WEB, check=False)
        assert done.code != 0, "an image was pulled"
        refused(done)
        done = node.crictl("create", pod.id, node.file(node.container_config(SLEEP, name="new")), pod.path, check=False)
        if done.code == 0:
            identifier = done.out.strip()
            started = node.crictl("start", identifier, check=False)
            equal(node.json("inspect", identifier)["status"]["state"], "CONTAINER_RUNNING" if started.code == 0 else "CONTAINER_EXITED", started.text)
            node.crictl("rm", "-f", identifier)
        else:
            refused(done)
        done = node.crictl("runp", node.file(node.pod_config("new")), check=False)
        if done.code == 0:
            equal(node.json("inspectp", done.out.strip())["status"]["state"], "SANDBOX_READY", "a pod that was made")
            node.crictl("rmp", "-f", done.out.strip())
        else:
            refused(done)
    equal((sorted(node.ids("pods")), sorted(node.ids("ps", "-a"))), (pods, containers), "pods and containers afterwards")
    contains(container.sh("echo runs on"), "runs on")


def works(node):
    with node.pod() as pod:
        container = pod.run(["echo", "works again"])
        eventually(lambda: "works again" in container.log())


def check_and_back(node, during):
    pod = node.pod()
    container, other = pod.run(SLEEP), pod.run(SLEEP, name="other")
    with during:
        refused_without_damage(node, pod, container)
        node.crictl("stop", "-t", "0", other.id)
        equal(other.state(), "EXITED", "a container can be stopped")
        node.restart()  # and the daemon can be started
        equal((container.state(), other.state()), ("RUNNING", "EXITED"), "states after a restart")
    works(node)
    contains(container.sh("echo still there"), "still there")
    node.crictl("rmp", "-f", pod.id)


@test(seconds=120)
def test_pods_on_a_disk_without_a_free_block(node):
    disk = Disk(node)
    with small_node(node, disk) as small:
        check_and_back(small, filled(disk.path))


Q_GETQUOTA, Q_SETQUOTA, USRQUOTA, QIF_BLIMITS = 0x800007, 0x800008, 0, 1
DQBLK = struct.Struct("=8QI4x")  # limits hard and soft in KiB, bytes in use, ...: quotactl(2)


def quota(command, device, value=bytes(DQBLK.size)):
    """Of user 0."""
    value = ctypes.create_string_buffer(value, DQBLK.size)
    if environment.libc.quotactl(ctypes.c_int(command << 8 | USRQUOTA), device.encode(), 0, value) != 0:
        number = ctypes.get_errno()
        raise Skip(f"quotactl: {os.strerror(number)}")
    return DQBLK.unpack(value.raw)


def set_quota(device, blocks):
    """In KiB; 0: none. Without CAP_SYS_RESOURCE root has to keep it."""
    quota(Q_SETQUOTA, device, DQBLK.pack(blocks, blocks, 0, 0, 0, 0, 0, 0, QIF_BLIMITS))


@contextlib.contextmanager
def quota_reached(disk):
    """Not a block more than is in use."""
    os.sync()
    _, _, used, *_ = quota(Q_GETQUOTA, disk.device())
    set_quota(disk.device(), used // 1024)
    try:
        try:
            (disk.path / "probe").write_bytes(b"x" * MIB)
            raise Skip("root does not have to keep its quota here (CAP_SYS_RESOURCE)")
        except OSError as error:
            equal(error.strerror, "Disk quota exceeded", "probe")
        yield
    finally:
        set_quota(disk.device(), 0)
        (disk.path / "probe").unlink(missing_ok=True)


@test(seconds=120)
def test_pods_on_a_disk_whose_quota_is_reached(node):
    disk = Disk(node, features=("-O", "quota", "-E", "quotatype=usrquota"))
    with small_node(node, disk, "errors=remount-ro,usrquota") as small:
        check_and_back(small, quota_reached(disk))


@test(seconds=120)
def test_pods_on_a_disk_that_went_read_only_after_an_error(node):
    """As the kernel does it with errors=remount-ro. A restart with a read-only root is refused with that reason; after a repair all is there."""
    disk = Disk(node)
    with small_node(node, disk) as small:
        pod = small.pod()
        container, other = pod.run(SLEEP), pod.run(SLEEP, name="other")
        os.sync()  # what was written in the last moments may be lost, as in a power cut
        trigger = pathlib.Path(f"/sys/fs/ext4/{disk.device().removeprefix('/dev/')}/trigger_fs_error")
        try:
            trigger.write_text("test\n")
        except OSError as error:
            raise Skip(f"{trigger}: {error.strerror}")
        refused_without_damage(small, pod, container)
        for one in (container, other):
            small.crictl("stop", "-t", "0", one.id)
            equal(one.state(), "EXITED", "a container can be stopped")
        small.crictl("stopp", pod.id)  # its file systems are free then
        small.kill()
        small.start(wait=False)
        assert small.daemon.wait(20) != 0, "it started on a read-only root"
        contains(small.log_since(0), "Read-only file system")
        equal(subprocess.run(["umount", disk.path]).returncode, 0, "umount")
        repaired = subprocess.run(["fsck.ext4", "-f", "-y", disk.image], capture_output=True, text=True)
        assert repaired.returncode in (0, 1), repaired.stdout
        disk.mount()
        small.start()
        equal(small.ids("pods", "--state", "notready"), [pod.id], "the pod")
        equal((container.state(), other.state()), ("EXITED", "EXITED"), "containers")
        works(small)
        small.crictl("rmp", "-f", pod.id)
        equal(small.ids("pods"), [], "pods")


@test(seconds=180)
def test_descriptors_that_run_out_are_an_error_and_not_the_end(node):
    node.stop_daemon()
    limit = 80
    node.start(prefix=["prlimit", f"--nofile={limit}:{limit}"])
    made = []
    try:
        refused = None
        while refused is None and len(made) < limit:
            done = node.crictl("runp", node.file(node.pod_config(f"many-{len(made)}")), check=False)
            if done.code == 0:
                made.append(done.out.strip())
            else:
                refused = done
        assert refused is not None, f"{len(made)} pods with {limit} descriptors"
        contains(refused.text, "ResourceExhausted", "Too many open files")
        assert node.running(), "berthd has ended"
        idle = []  # more clients than there are descriptors left
        for _ in range(2 * limit):
            idle.append(socket.socket(socket.AF_UNIX))
            idle[-1].setblocking(False)
            with contextlib.suppress(OSError):
                idle[-1].connect(str(node.state / "berth.sock"))
        time.sleep(1)
        for one in idle:
            one.close()
        for _ in range(3):  # it goes on answering, and nothing piles up
            equal(sorted(node.ids("pods")), sorted(made), "pods")
        for identifier in made[len(made) // 2:]:
            node.crictl("rmp", "-f", identifier)
        made = made[:len(made) // 2]
        works(node)
    finally:
        node.restart()
        for identifier in made:
            node.crictl("rmp", "-f", identifier, check=False)


@contextlib.contextmanager
def in_cgroup(controller, pid, settings):
    """The daemon in a group of its own, made beside the suite's."""
    base = pathlib.Path(f"/sys/fs/cgroup/{controller}")
    if not base.is_dir():
        raise Skip(f"there is no hierarchy of the controller {controller} (cgroup v1)")
    group = base / f"berth-daemon-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        for name, value in settings(group).items():
            (group / name).write_text(str(value))
        yield group
    finally:
        for member in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (base / "cgroup.procs").write_text(member)
        eventually(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


@test(seconds=180)
def test_processes_that_run_out_are_an_error_and_not_the_end(node):
    with node.pod() as pod:
        container = pod.run(SLEEP)
        node.ids("ps")
        with in_cgroup("pids", node.daemon.pid, lambda group: {"pids.max": int((group / "pids.current").read_text())}):
            for number in range(3):
                done = node.crictl("runp", node.file(node.pod_config(f"refused-{number}")), check=False, timeout=40)
                assert done.code != 0, f"it worked: {done.text}"
                contains(done.text, "ResourceExhausted")
            assert node.running(), "berthd has ended"
            equal(node.ids("ps"), [container.id], "ps")
        contains(container.sh("echo runs on"), "runs on")
        works(node)


@test(seconds=180)
def test_a_daemon_without_memory_is_killed_and_the_next_one_has_everything(node):
    """The kernel's answer to a full control group is SIGKILL; pods are not in that group."""
    with node.pod() as pod:
        container = pod.run(SLEEP)
        pid = container.process()
        used = int(next(line.split()[1] for line in open(f"/proc/{node.daemon.pid}/status") if line.startswith("VmRSS")))
        with in_cgroup("memory", node.daemon.pid, lambda group: {"memory.limit_in_bytes": MIB}):
            clients = [subprocess.Popen(node.command("pods"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(30)]
            for number in range(20):
                if not node.running():
                    break
                node.crictl("runp", node.file(node.pod_config(f"memory-{number}")), check=False, timeout=40)
            for client in clients:
                client.wait(60)
            assert not node.running(), f"berthd ({used} KiB) has not run out of memory"
        equal(node.daemon.returncode, -signal.SIGKILL, f"how berthd ({used} KiB) ended")
        node.start()
        equal(container.process(), pid, "the container's process")
        contains(container.sh("echo runs on"), "runs on")
        for identifier in node.ids("pods"):
            if identifier != pod.id:
                node.crictl("rmp", "-f", identifier)
        works(node)


@test(seconds=90)
def test_a_full_log_disk_holds_up_neither_the_container_nor_its_end(node):
    config = node.pod_config()
    directory = pathlib.Path(config["log_directory"])
    directory.mkdir(parents=True)
    environment.mount("tmpfs", directory, "tmpfs", 0, "size=64k")
    try:
        pod = node.pod(name=config["metadata"]["name"])
        script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo a line that fills the disk of the logs $i; done; echo all written >/tmp/done; while [ ! -e /tmp/go ]; do usleep 10000; done; echo the last line; exit 3"
        container = pod.run(["sh", "-c", script])
        eventually(lambda: "all written" in container.sh("cat /tmp/done 2>/dev/null", check=False))
        assert container.log_path.stat().st_size <= 64 << 10
        subprocess.run(["mount", "-o", "remount,size=1m", directory], check=True)
        container.sh("touch /tmp/go")
        equal(container.wait_exit()["exitCode"], 3, "exit code")
        contains(container.log(), "the last line")
        for line in container.log_path.read_text().splitlines()[:-2]:  # the one that was cut is a line of its own
            assert re.fullmatch(r"\S+Z|\S+[+-]\d\d:\d\d", line.split(" ")[0]), line
    finally:
        node.crictl("rmp", "-fa")
        environment.umount(directory)
        shutil.rmtree(directory)


@test(seconds=90)
def test_a_wall_clock_that_jumps_moves_no_timer(node):
    """libfaketime gives this daemon, and nothing else, a wall clock that is moved by years, there and back."""
    library = next((path for path in pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
    if library is None:
        raise Skip("libfaketime is not installed")
    clock = node.work / "clock"
    clock.write_text("+0\n")
    node.stop_daemon()
    node.start(prefix=["env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={clock}", "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1"])
    try:
        with node.pod() as pod:
            container = pod.run(["sh", "-c", "trap '' TERM; while :; do sleep 1000 & wait $!; done"])
            for offset in ("+1000d", "-1000d", "+0"):
                began = time.monotonic()
                stop = subprocess.Popen(node.command("exec", "-s", "--timeout", "3", container.id, "sleep", "100"), stderr=subprocess.PIPE, text=True)
                time.sleep(1)
                clock.write_text(offset + "\n")
                _, text = stop.communicate(timeout=30)
                took = time.monotonic() - began
                assert 2.5 < took < 6, f"a timeout of 3 s took {took:.1f} s with the clock at {offset}"
                contains(text, "DeadlineExceeded")
            began = time.monotonic()
            stop = subprocess.Popen(node.command("stop", "-t", "3", container.id))
            time.sleep(1)
            clock.write_text("-2000d\n")
            equal(stop.wait(30), 0, "stop")
            took = time.monotonic() - began
            assert 2.5 < took < 6, f"a grace of 3 s took {took:.1f} s"
            status = container.status()
            assert nanoseconds(status["finishedAt"]) >= nanoseconds(status["startedAt"]), status
    finally:
        node.restart()
        clock.unlink()
