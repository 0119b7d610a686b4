# SPDX-License-Identifier: Apache-2.0
"""A machine of the test's own inside this one: mount, network, IPC, UTS and PID namespaces, a tmpfs on /run, a journaled
ext4 for the stores. Everything in it ends with its first process, even when a suite is killed."""
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

INSIDE = "BERTH_TEST_INSIDE"
STORE = pathlib.Path("/run/berth-test/store")  # the journaled ext4: image stores, registry
WORK = pathlib.Path("/run/berth-test")  # tmpfs: configuration, logs, volumes
STORE_BYTES = 3 << 30
PATIENCE = float(os.environ.get("BERTH_TEST_PATIENCE", "1"))  # how many times slower than a machine of its own this one may be
SUITE_SECONDS = 900  # nothing here may hang a continuous integration for longer

# A tmpfs covers them: no test may see the machine's own configuration, CNI leases or skopeo's memory, or add to them.
HIDDEN = ("/etc/cni/net.d", "/etc/berth", "/var/lib/cni", "/var/lib/containers")

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MNT_DETACH = 2
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE, MS_SHARED = 2, 4, 16384, 1 << 18, 1 << 20
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags):
    _check(libc.unshare(flags), "unshare")


def mount(source, target, kind=None, flags=0, data=None):
    encode = lambda text: None if text is None else str(text).encode()
    _check(libc.mount(encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(data)), f"mount {target}")


def umount(target):
    _check(libc.umount2(str(target).encode(), 0), f"umount {target}")


def cgroup_parent():
    """Control groups are the one thing that namespaces do not part here: every run has a parent of its own."""
    return f"/berth-test-{os.environ[INSIDE]}"


def run_isolated(main, seconds=SUITE_SECONDS, hidden=()):
    """Runs main() in the environment, for that long at most, and ends this process with its exit code; `hidden` adds to HIDDEN."""
    if os.environ.get(INSIDE):
        sys.exit(main())
    os.environ[INSIDE] = str(os.getpid())
    sys.stdout.flush()
    backing = _backing_file()
    hidden = (*HIDDEN, *hidden)
    made = [path for path in hidden if not os.path.isdir(path)]
    for path in made:
        os.makedirs(path)
    unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    first = os.fork()  # the first child becomes PID 1 of the new namespace; nothing may be started before it
    if first == 0:
        _first_process(main, backing, hidden)
    code = 1
    try:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGKILL))
        signal.signal(signal.SIGALRM, lambda *_: os.kill(first, signal.SIGKILL))
        signal.alarm(seconds)
        code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    except KeyboardInterrupt:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
    finally:
        if backing is not None:
            backing.unlink(missing_ok=True)
        _remove_cgroups()
        for path in made:
            libc.umount2(path.encode(), MNT_DETACH)
            try:
                os.removedirs(path)  # and its parents, as far as they are empty
            except OSError:
                pass  # another run uses it
    sys.exit(code if code >= 0 else 1)


def _backing_file():
    """A sparse file for the ext4, where there is room; unlinked as soon as it is mounted. None: no loop devices."""
    if not os.path.exists("/dev/loop-control"):
        return None
    for place in ("/var/tmp", "/dev/shm", "/tmp"):
        if os.path.isdir(place) and shutil.disk_usage(place).free > STORE_BYTES:
            path = pathlib.Path(place) / f"berth-test-{os.getpid()}.ext4"
            with open(path, "wb") as file:
                file.truncate(STORE_BYTES)
            done = subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "has_journal", "-E", "lazy_itable_init=1,nodiscard", path],
                                  capture_output=True, text=True)
            if done.returncode == 0:
                return path
            path.unlink()
    return None


def _first_process(main, backing, hidden):
    """PID 1 of the namespace: prepares it, starts the suite, reaps every orphan (as a subreaper would)."""
    code = 1
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _prepare(backing, hidden)
        suite = os.fork()
        if suite == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            code = 1
            try:
                code = main()
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
                if isinstance(stop.code, str):
                    print(stop.code, file=sys.stderr, flush=True)
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code or 0)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == suite:
                code = os.waitstatus_to_exitcode(status)
                break
        os.kill(-1, signal.SIGKILL)
        while True:  # so that the mounts are free before the namespace goes
            os.waitpid(-1, 0)
    except (ChildProcessError, ProcessLookupError):
        pass  # nobody is left
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code if 0 <= code < 256 else 1)


def _prepare(backing, hidden):
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for path in hidden:
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    STORE.mkdir(parents=True)
    if backing is None:
        mount("tmpfs", STORE, "tmpfs", MS_NOSUID | MS_NODEV)
        print("no loop device: the stores are on a tmpfs instead of a journaled ext4", flush=True)
    else:
        subprocess.run(["mount", "-t", "ext4", "-o", "loop", backing, STORE], check=True)  # autoclear: gone with its mount
        backing.unlink()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # What a machine that serves Kubernetes has; volumes with propagation need it.
    mount("none", "/", None, MS_REC | MS_SHARED)
    os.chdir("/")


def _remove_cgroups():
    name = cgroup_parent()[1:]
    for hierarchy in pathlib.Path("/sys/fs/cgroup").iterdir():
        for base in (hierarchy / name, hierarchy if hierarchy.name == name else None):
            if base is None or not base.is_dir():
                continue
            for path, _, _ in os.walk(base, topdown=False):
                for _ in range(50):
                    try:
                        os.rmdir(path)
                        break
                    except FileNotFoundError:
                        break
                    except OSError:
                        time.sleep(0.02)
