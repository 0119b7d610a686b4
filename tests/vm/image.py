# SPDX-License-Identifier: Apache-2.0
"""The virtual machine's disks: a root file system of Debian packages (cached, its name is a hash of what it is made from), and
a read-only one with what is tested: programs, suites, a registry's storage."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "vm"
PROGRAMS = ["berthd", "berth", "berth-monitor", "berth-fetch", "berth-unpack", "berth-stream", "berth-cni"]
TOOLS = ["critest", "crictl", "ginkgo", "cri_v1"]
PACKAGES = ["systemd-sysv", "dbus", "udev", "kmod", "apparmor", "iproute2", "iptables", "nftables", "procps", "util-linux",
            "e2fsprogs", "ca-certificates", "python3", "sqlite3", "sudo", "busybox-static", "openssl", "curl", "strace", "crun", "runc",
            "docker-registry", "initramfs-tools", "linux-image-cloud-amd64"]
# What a machine without a screen, a network card or a user can do without; each costs seconds under emulation.
MASKED = ["systemd-udev-settle.service", "systemd-timesyncd.service", "systemd-update-utmp.service", "e2scrub_reap.service",
          "systemd-update-utmp-runlevel.service", "systemd-pstore.service", "systemd-random-seed.service", "getty@tty1.service",
          "serial-getty@ttyS0.service", "systemd-logind.service", "apt-daily.timer", "apt-daily-upgrade.timer",
          "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "docker-registry.service", "nftables.service",
          "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount", "sys-kernel-debug.mount"]
MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "ext4", "crc32c_generic"]  # of the initial RAM disk


def check(command, **options):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          **options)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))[:300]}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def sources():
    """Debian's package sources as this machine's apt has them."""
    fields = check(["apt-get", "indextargets", "Created-By: Packages", "Origin: Debian", "--format",
                    "$(REPO_URI) $(RELEASE) $(COMPONENT)"])
    lines = [f"deb {line}" for line in fields.splitlines() if "backports" not in line and line.split()[1].startswith("bookworm")]
    if not lines:
        raise SystemExit("./test vm: apt on this machine has no Debian 12 package source to build a virtual machine from")
    return lines


def libraries():
    """The packages that own the shared libraries of Berth's programs."""
    paths = set()
    for name in PROGRAMS:
        linked = subprocess.run(["ldd", ROOT / "build/bin" / name], capture_output=True, text=True).stdout
        paths.update(word for line in linked.splitlines() for word in line.split()[2:3] if word.startswith("/"))
    owners = set()
    for path in paths:
        # The package names the file where it lies, or below /usr (merged directories).
        for candidate in {path, os.path.realpath(path), path.removeprefix("/usr"), "/usr" + path}:
            found = subprocess.run(["dpkg-query", "-S", candidate], capture_output=True, text=True)
            if found.returncode == 0:
                owners.add(found.stdout.split(":")[0])
                break
        else:
            raise SystemExit(f"no package owns {path}, which berthd needs")
    return sorted(owners)


SETUP = r"""
set -e
echo berth-vm > "$1/etc/hostname"
printf '127.0.0.1 localhost berth-vm\n::1 localhost\n' > "$1/etc/hosts"
: > "$1/etc/resolv.conf"
printf '%s\n' '/dev/vda / ext4 noatime 0 0' '/dev/vdb /payload ext4 ro,nofail 0 0' '/dev/vdc /var/lib/berth ext4 noatime 0 0' > "$1/etc/fstab"
printf '%s\n' MODULES=list COMPRESS=gzip > "$1/etc/initramfs-tools/conf.d/berth"
printf '%s\n' @MODULES@ > "$1/etc/initramfs-tools/modules"
mkdir -p "$1/etc/systemd/journald.conf.d" "$1/etc/systemd/system.conf.d" "$1/payload" "$1/var/lib/berth"
printf '[Journal]\nStorage=persistent\nRateLimitBurst=0\nSyncIntervalSec=1s\n' > "$1/etc/systemd/journald.conf.d/berth.conf"
printf '[Manager]\nDefaultTimeoutStartSec=300\nDefaultDeviceTimeoutSec=300\n' > "$1/etc/systemd/system.conf.d/berth.conf"
cat > "$1/etc/systemd/system/berth-agent.service" <<END
[Unit]
Description=Runs what the test asks for
After=basic.target
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/berth-agent.py
Restart=always
RestartSec=1
KillMode=process
[Install]
WantedBy=multi-user.target
END
chroot "$1" systemctl -q enable berth-agent.service
chroot "$1" systemctl -q mask @MASKED@ || true
chroot "$1" update-initramfs -u -k all
rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*
"""


def key(packages):
    text = "\n".join([*packages, SETUP, *MASKED, *MODULES, (HERE / "agent.py").read_text()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def root_image():
    """The directory with root.ext4, vmlinuz and initrd; made when it is not there yet, and older ones go."""
    packages = sorted({*PACKAGES, *libraries()})
    made = CACHE / f"root-{key(packages)}"
    if made.exists():
        return made
    print(f"building the virtual machine's root file system of {len(packages)} named packages", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob("root-*"):
        shutil.rmtree(old)
    part = CACHE / f"part-{os.getpid()}"
    part.mkdir()
    try:
        # A mount namespace of its own for the tmpfs that the tree is made on.
        check(["unshare", "-m", "--propagation", "private", sys.executable, __file__, part, ",".join(packages)])
        part.rename(made)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return made


def build(part, packages):
    tree = part / "tree"
    tree.mkdir()
    check(["mount", "-t", "tmpfs", "-o", "mode=755,size=3g", "berth-vm", tree])
    target = tree / "root"
    setup = part / "setup"
    setup.write_text(SETUP.replace("@MODULES@", " ".join(MODULES)).replace("@MASKED@", " ".join(MASKED)))
    check(["mmdebstrap", "--mode=root", "--variant=minbase", "--aptopt=Acquire::Check-Valid-Until \"false\"",
           f"--include={packages}", f"--customize-hook=sh {setup} \"$1\"",
           f"--customize-hook=copy-in {HERE / 'agent.py'} /usr/local/lib",
           "--customize-hook=mv \"$1/usr/local/lib/agent.py\" \"$1/usr/local/lib/berth-agent.py\"",
           "bookworm", target, *sources()])
    for name, pattern in (("vmlinuz", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        shutil.copy(max((target / "boot").glob(pattern)), part / name)
    make_disk(part / "root.ext4", 4 << 30, target)
    check(["umount", tree])
    tree.rmdir()
    setup.unlink()


def make_disk(path, size, tree=None, label="berth"):
    path.unlink(missing_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)
    check(["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
           *(["-d", tree] if tree else []), path])


def registry_storage():
    """A registry's files with every image that the suites name; made anew when what makes them has changed."""
    makers = [HERE / "push_images.py", HERE / "noise.py", ROOT / "tests/conformance/images.py", ROOT / "tests/support/oci.py",
              *sorted((ROOT / "tests/support/programs").glob("*.c"))]
    name = hashlib.sha256(b"".join(maker.read_bytes() for maker in makers)).hexdigest()[:16]
    made = CACHE / f"registry-{name}"
    if not made.exists():
        print("making the images that critest names", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob("registry-*"):
            shutil.rmtree(old)
        part = CACHE / f"registry-part-{os.getpid()}"
        part.mkdir()
        try:
            # A network namespace of its own: the port is free there.
            check(["unshare", "-n", sys.executable, HERE / "push_images.py", part])
            part.rename(made)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return made


def payload(path, tree, kubelet=None):
    """The disk that is mounted at /payload: laid out as this repository."""
    shutil.rmtree(tree, ignore_errors=True)
    for name in PROGRAMS:
        (tree / "build/bin").mkdir(parents=True, exist_ok=True)
        check(["strip", "-o", tree / "build/bin" / name, ROOT / "build/bin" / name])
    (tree / ".cache/bin").mkdir(parents=True)
    for name in TOOLS:
        shutil.copy(ROOT / ".cache/bin" / name, tree / ".cache/bin" / name)
    if kubelet:
        (tree / ".cache/kubernetes").mkdir()
        shutil.copy(kubelet, tree / ".cache/kubernetes/kubelet")
    ignore = shutil.ignore_patterns("__pycache__", "corpus")
    shutil.copytree(ROOT / "tests", tree / "tests", ignore=ignore)
    shutil.copytree(ROOT / "packaging", tree / "packaging", ignore=ignore)
    shutil.copytree(registry_storage(), tree / "registry")
    check(["cc", "-O1", "-shared", "-fPIC", "-o", tree / "nosync.so", HERE / "nosync.c"])
    make_disk(path, 1 << 30, tree, "payload")
    shutil.rmtree(tree)


if __name__ == "__main__":
    build(pathlib.Path(sys.argv[1]), sys.argv[2])
