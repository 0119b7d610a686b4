# SPDX-License-Identifier: Apache-2.0
"""One virtual machine under qemu's software emulation: a serial console that goes to a file, commands over a virtio-serial port, a
network card at a tap device if it is given one, which the guest leaves down. The disks are: vda root, vdb /payload (read-only), vdc
the store."""
import collections
import json
import os
import pathlib
import queue
import shutil
import socket
import subprocess
import threading
import time

QEMU = "qemu-system-x86_64"  # thread=single: with a thread for each CPU it loses interrupts between them, and the guest stands still
# No mitigations and four-level page tables: a third of the time under emulation. The rest is a quieter and shorter boot.
COMMAND_LINE = ("root=/dev/vda rw console=ttyS0 quiet loglevel=4 systemd.show_status=0 apparmor=1 lsm=landlock,lockdown,yama,apparmor "
                "mitigations=off nopti no5lvl nokaslr tsc=reliable net.ifnames=0 random.trust_cpu=1 cgroup_no_v1=all "
                "systemd.unified_cgroup_hierarchy=1")
BOOT_SECONDS = 300
DOWN_SECONDS = 240


class Died(AssertionError):
    """qemu ended, or the guest does not answer."""


Done = collections.namedtuple("Done", "code out")


class Machine:
    def __init__(self, work, base, payload, store, tap=None, cpus=2, memory=4096):
        self.work, self.base = pathlib.Path(work), pathlib.Path(base)
        self.payload, self.store, self.tap = pathlib.Path(payload), store, tap
        self.root = self.work / "root.ext4"
        self.console = self.work / "console.log"
        self.cpus, self.memory = cpus, memory
        self.process = self.port = self.boot_id = None
        self._numbers = iter(range(1, 1 << 40))
        self._waiting, self._boots = {}, queue.Queue()
        self.work.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.base / "root.ext4", self.root], check=True)

    # ------------------------------------------------------------------ power
    def boot(self):
        """Switches it on and waits until it takes commands; the seconds that took."""
        began = time.monotonic()
        path = self.work / "port.sock"
        path.unlink(missing_ok=True)
        drives = []
        for name, file, options in (("root", self.root, ""), ("payload", self.payload, ",readonly=on"), ("store", self.store, "")):
            drives += ["-drive", f"if=none,id={name},format=raw,cache=writeback,file={file}{options}",
                       "-device", f"virtio-blk-pci,drive={name}"]
        card = ["-netdev", f"tap,id=net,ifname={self.tap},script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=net,romfile="] if self.tap else ["-nic", "none"]
        command = [QEMU, "-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-machine", "q35", "-smp", str(self.cpus),
                   "-m", str(self.memory), "-nodefaults", "-no-reboot", "-display", "none", "-no-user-config", *card,
                   "-kernel", self.base / "vmlinuz", "-initrd", self.base / "initrd", "-append", COMMAND_LINE, *drives,
                   "-chardev", f"file,id=console,append=on,path={self.console}", "-serial", "chardev:console",
                   "-chardev", f"socket,id=port,path={path},server=on,wait=off", "-device", "virtio-serial-pci",
                   "-device", "virtserialport,chardev=port,name=berth", "-device", "virtio-rng-pci",
                   "-monitor", f"unix:{self.work / 'monitor.sock'},server=on,wait=off"]
        log = open(self.work / "qemu.log", "ab")
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self._connect(path)
        self._wait_boot()
        return time.monotonic() - began

    def _connect(self, path):
        self._boots = queue.Queue()
        end = time.monotonic() + 20
        while True:
            self.port = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.port.connect(str(path))
                break
            except OSError:
                self.port.close()
                if time.monotonic() > end or self.process.poll() is not None:
                    raise Died(f"qemu did not start:\n{(self.work / 'qemu.log').read_text()[-2000:]}")
                time.sleep(0.05)
        threading.Thread(target=self._receive, args=(self.port,), daemon=True).start()

    def _receive(self, port):
        rest = b""
        while True:
            try:
                data = port.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                try:
                    value = json.loads(line)
                except ValueError:
                    continue  # half a line, from before a reboot
                if "boot" in value:
                    self._boots.put(value["boot"])
                elif value.get("id") in self._waiting:
                    self._waiting[value["id"]].put(value)
        for waiting in list(self._waiting.values()):
            waiting.put(None)

    def _wait_boot(self):
        try:
            self.boot_id = self._boots.get(timeout=BOOT_SECONDS)
        except queue.Empty:
            raise Died(f"no answer {BOOT_SECONDS} s after the start; the end of the console:\n{self.console_tail()}") from None

    def power_cut(self):
        """SIGKILL to qemu: what the guest has not given to its disks is gone."""
        self.process.kill()
        self.process.wait()
        self.port.close()

    def reboot(self):
        """As `systemctl reboot` does it; the seconds until it is down, and from there until it takes commands again."""
        began = time.monotonic()
        self.start(["systemctl", "reboot"])
        try:
            self.process.wait(DOWN_SECONDS)  # -no-reboot: the guest's reset ends qemu
        except subprocess.TimeoutExpired:
            raise Died(f"not down {DOWN_SECONDS} s after `systemctl reboot`; the end of the console:\n{self.console_tail()}") from None
        self.port.close()
        down = time.monotonic() - began
        return down, self.boot()

    def power_off(self, seconds=120):
        if self.process is None or self.process.poll() is not None:
            return
        self.start(["systemctl", "poweroff"])
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.port.close()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.power_cut()

    def console_tail(self):
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return "\n".join(text.splitlines()[-40:])

    # ------------------------------------------------------------------ commands
    def start(self, argv):
        """The number and queue of a command that runs."""
        number, answers = next(self._numbers), queue.Queue()
        self._waiting[number] = answers
        self.port.sendall(json.dumps({"id": number, "argv": list(map(str, argv))}).encode() + b"\n")
        return number, answers

    def follow(self, argv, each, seconds):
        """Runs it to its end; each(text) gets the output as it comes. The exit code. Died when the machine does or time is over."""
        number, answers = self.start(argv)
        end = time.monotonic() + seconds
        try:
            while True:
                value = answers.get(timeout=max(0.1, end - time.monotonic()))
                if value is None:
                    raise Died(f"the machine went away during {argv}")
                if "code" in value:
                    return value["code"]
                each(value["out"])
        except queue.Empty:
            raise Died(f"{argv} took longer than {seconds} s; the end of the console:\n{self.console_tail()}") from None
        finally:
            del self._waiting[number]

    def run(self, *argv, seconds=120, ok=True):
        parts = []
        code = self.follow(argv, parts.append, seconds)
        text = "".join(parts)
        if ok and code != 0:
            raise AssertionError(f"{' '.join(map(str, argv))}: exit code {code}\n{text[-6000:]}")
        return Done(code, text)

    def sh(self, script, seconds=120, ok=True):
        return self.run("sh", "-c", script, seconds=seconds, ok=ok)
