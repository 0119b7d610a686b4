# SPDX-License-Identifier: Apache-2.0
"""Berth and its peers as bench/pull and bench/run start them: directories and a control group of their own, the same OCI
runtime, CNI configuration and pause image."""
import json
import os
import pathlib
import shutil
import subprocess
import threading
import time

from support import environment, tools

CPU = next((p for p in (pathlib.Path("/sys/fs/cgroup/cpuacct"), pathlib.Path("/sys/fs/cgroup")) if p.is_dir()))
PAGE = os.sysconf("SC_PAGE_SIZE")
UNIFIED = "/sys/fs/cgroup/unified"
PAUSE = "127.0.0.1:5000/bench/pause:1"


def cpu_seconds(group):
    if (group / "cpuacct.usage").exists():
        return int((group / "cpuacct.usage").read_text()) / 1e9
    return int((group / "cpu.stat").read_text().split()[1]) / 1e6


class Group:
    """A control group that counts the CPU of what runs in it and below; with `sampled` a thread looks at its memory."""

    def __init__(self, name, sampled=True):
        self.name = f"{environment.cgroup_parent()}/{name}"  # pods go below it
        self.path = CPU / self.name[1:]
        self._leaf = self.path / "daemon"
        self._leaf.mkdir(parents=True)
        self.peak, self._stop, self._thread = 0, threading.Event(), None
        if sampled:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()

    def enter(self):
        (self._leaf / "cgroup.procs").write_text(str(os.getpid()))

    def seconds(self):
        return cpu_seconds(self.path)

    def own_seconds(self):
        """What runs in it, without what is below."""
        return cpu_seconds(self._leaf)

    def _sample(self):
        while not self._stop.wait(0.03):
            total = 0
            for pid in (self._leaf / "cgroup.procs").read_text().split():
                try:
                    total += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
                except (OSError, IndexError):
                    pass
            self.peak = max(self.peak, total)

    def close(self):
        self._stop.set()
        if self._thread:
            self._thread.join()
        for _ in range(200):
            try:
                for path, _, _ in os.walk(self.path, topdown=False):
                    os.rmdir(path)
                return
            except OSError:
                time.sleep(0.02)


class Daemon:
    """A runtime with a store of its own, in a group of its own; ends and leaves nothing."""

    def __init__(self, name, command, root, socket, log, sampled=True):
        self.name, self.command, self.root, self.socket, self.log = name, command, root, socket, log
        self.group = Group(name, sampled)
        self.spawn()
        self.wait_ready()
        os.sync()
        self.group.peak = 0

    def spawn(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            preexec_fn=self.group.enter)

    def wait_ready(self):
        for _ in range(400):
            if self._crictl("version").returncode == 0:
                return
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended at its start: {self.log}\n{pathlib.Path(self.log).read_text()[-2000:]}")
            time.sleep(0.05)
        raise SystemExit(f"{self.name} does not answer: {self.log}\n{pathlib.Path(self.log).read_text()[-2000:]}")

    def _crictl(self, *arguments):
        return subprocess.run([tools.crictl(), "--runtime-endpoint", self.socket, "--image-endpoint", self.socket, "--timeout",
                               "300s", *arguments], capture_output=True, text=True)

    def pull(self, image):
        done = self._crictl("pull", image)
        if done.returncode != 0:
            raise SystemExit(f"pull failed: {done.stderr}")

    def pods(self):
        return self._crictl("pods", "-q").stdout.split()

    def remove_pods(self):
        done = self._crictl("rmp", "-fa")
        if done.returncode != 0:
            raise SystemExit(f"{self.name}: rmp -fa: {done.stderr}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def again(self):
        """A new process, which has served nothing."""
        self.stop()
        self.spawn()
        self.wait_ready()

    def last_words(self):
        return pathlib.Path(self.log).read_text()[-3000:]

    def close(self):
        self.stop()
        self.group.close()
        shutil.rmtree(self.root)


def berth(work, store, native=True, sampled=True, more=""):
    """`more`: lines for the end of its configuration."""
    config = work / "berth.toml"
    write_berth(work, store, native, more)
    return Daemon("berth", [tools.berth_binary("berthd"), "--config", config], store / "berth", "unix:///run/berth/berth.sock",
                  work / "berth.log", sampled)


def write_berth(work, store, native, more=""):
    (work / "berth.toml").write_text(
        f'root = "{store}/berth"\nstate = "/run/berth"\nlisten = "unix:///run/berth/berth.sock"\n'
        f'[image]\ncerts_dirs = ["{work}/certs.d"]\n[runtime]\ncgroup_driver = "cgroupfs"\n'
        f'[network]\nconf_dirs = ["{work}/cni-berth"]\nbin_dirs = ["/usr/lib/cni"]\nnative_plugins = {json.dumps(native)}\n{more}')


def program(name):
    """CONTAINERD or CRIO, or what PATH has; containerd's shim stands beside it or on PATH."""
    found = os.environ.get(name.upper()) or shutil.which(name)
    return os.path.abspath(found) if found else None


def of_crio(name):
    """conmon or pinns: it stands beside CRI-O or on PATH."""
    found = shutil.which(name, path=f"{os.path.dirname(program('crio'))}:{os.environ['PATH']}")
    if not found:
        raise SystemExit(f"CRI-O needs {name}, beside it or on PATH")
    return found


def crun_for_peers(work):
    """crun, behind old_crun.c where it is older than the OCI versions that the peers write."""
    crun = shutil.which("crun")
    version = subprocess.run([crun, "--version"], capture_output=True, text=True).stdout.split()[2]
    if tuple(map(int, version.split(".")[:2])) >= (1, 20):
        return crun
    wrapped = work / "crun-for-peers"
    if not wrapped.exists():
        subprocess.run(["gcc", "-Os", "-static", "-s", f'-DCRUN="{crun}"', "-o", wrapped,
                        pathlib.Path(__file__).with_name("old_crun.c")], check=True)
    return wrapped


def containerd(work, store, sampled=True):
    config = work / "containerd.toml"
    # restrict_oom_score_adj: a machine without CAP_SYS_RESOURCE may not lower it. NRI is off, as it is in Berth.
    config.write_text(f'''version = 3
root = "{store}/containerd"
state = "/run/containerd-bench"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "/run/containerd-bench.sock"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "{work}/certs.d"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{work}/cni-containerd"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "crun"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.crun]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.crun.options]
        BinaryName = "{crun_for_peers(work)}"
''')
    os.environ["PATH"] = f"{os.path.dirname(program('containerd'))}:{os.environ['PATH']}"
    return Daemon("containerd", [program("containerd"), "--config", config, "--log-level", "warn"], store / "containerd",
                  "unix:///run/containerd-bench.sock", work / "containerd.log", sampled)


def crio(work, store, sampled=True):
    root, state, none = store / "crio", "/run/crio", work / "none"
    (work / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (work / "storage.conf").write_text('[storage]\ndriver = "overlay"\n')
    (work / "registries.conf").write_text(f'[[registry]]\nlocation = "{PAUSE.partition("/")[0]}"\ninsecure = true\n')
    # Every path that would be in the machine's own /etc or /var is named. NRI is off, as it is in Berth; with cgroupfs and
    # monitor_cgroup "pod" conmon stays in the daemon's control group. crun of Debian 12 cannot take the default of pids_limit, -1.
    config = work / "crio.toml"
    config.write_text(f'''[crio]
root = "{root}/storage"
runroot = "{state}/storage"
storage_driver = "overlay"
log_dir = "{root}/log"
version_file_persist = "{root}/version"
clean_shutdown_file = "{root}/clean.shutdown"
[crio.api]
listen = "{state}/crio.sock"
[crio.runtime]
log_level = "warn"
cgroup_manager = "cgroupfs"
default_runtime = "crun"
pids_limit = 4194304
pinns_path = "{of_crio("pinns")}"
hooks_dir = []
decryption_keys_path = "{none}"
irqbalance_config_file = "{none}"
irqbalance_config_restore_file = "disable"
[crio.runtime.runtimes.crun]
runtime_path = "{crun_for_peers(work)}"
runtime_root = "{state}/crun"
monitor_path = "{of_crio("conmon")}"
monitor_cgroup = "pod"
[crio.image]
pause_image = "{PAUSE}"
signature_policy = "{work}/policy.json"
signature_policy_dir = "{state}/policies"
namespaced_auth_dir = "{state}/auth"
big_files_temporary_dir = "{root}"
[crio.network]
network_dir = "{work}/cni-crio"
plugin_dirs = ["/usr/lib/cni"]
[crio.nri]
enable_nri = false
''')
    os.environ["CONTAINERS_STORAGE_CONF"] = f"{work}/storage.conf"
    return Daemon("crio", [program("crio"), "--config", config, "--config-dir", none, "--registries-conf", work / "registries.conf",
                           "--registries-conf-dir", none], root, f"unix://{state}/crio.sock", work / "crio.log", sampled)


PEERS = {"containerd": containerd, "crio": crio}


def write_networks(work):
    """One conflist each, alike but for the bridge and its subnet: bridge with ipMasq, host-local, portmap."""
    for number, name in enumerate(("berth", *PEERS)):
        directory = work / f"cni-{name}"
        directory.mkdir(exist_ok=True)
        bridge = {"type": "bridge", "bridge": f"bench{number}", "isGateway": True, "ipMasq": True,
                  "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}],
                           "ranges": [[{"subnet": f"10.{90 + number}.0.0/16"}]]}}
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        (directory / "10-bench.conflist").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": f"bench{number}", "plugins": [bridge, portmap]}))


def without_unified(run):
    """crun refuses a cgroup2 without controllers beside version 1, and makes directories where it was: not in the machine's tmpfs."""
    if not (pathlib.Path("/sys/fs/cgroup/cpuacct").is_dir() and os.path.ismount(UNIFIED)):
        return run()
    environment.umount(UNIFIED)
    environment.mount("tmpfs", UNIFIED, "tmpfs")
    try:
        return run()
    finally:
        environment.umount(UNIFIED)
