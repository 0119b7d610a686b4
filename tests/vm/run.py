#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots a Debian machine with systemd, cgroup v2 and AppArmor under qemu, installs Berth in it and tests it there.
run.py [--seed=N] [--cuts=N] [--rounds=N] [--tests=PART OF A NAME,...] [--keep] [PART...]

Parts, in this order: unit (the service), limits (memory QoS, OOM; systemd driver), update (updates and statistics), kubernetes (a
kubelet and the tests of kubernetes.txt; --tests: some of them), critest, cgroupfs (limits and update again with that driver), quota, reboot, power (hard stops during pulls and removals), control (the same with a
berthd that leaves out a sync: the check must fail). --keep leaves the disks and the console's log. --rounds: containers that are
killed for memory, with each driver."""
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "kubernetes")]
os.environ.setdefault("BERTH_TEST_PATIENCE", "5")  # as in guest.py, for tests that wait for the machine from outside

import image
import machine
import virtual_cluster
from cuts import Cuts
from volatile_disk import VolatileDisk
from support import suite, tools

PACKAGES = ["qemu-system-x86", "mmdebstrap", "e2fsprogs"]
PARTS = ["unit", "limits", "update", "kubernetes", "critest", "cgroupfs", "quota", "reboot", "power", "control"]
CUTS = 6
ROUNDS = 20


def option(name, default=None):
    return next((a.partition("=")[2] for a in sys.argv[1:] if a.startswith(f"--{name}=")), default)


def install_packages():
    known = subprocess.run(["dpkg-query", "-W", "-f=${Package} ${db:Status-Abbrev}\n", *PACKAGES], capture_output=True, text=True)
    if sum(line.endswith("ii ") for line in known.stdout.splitlines()) < len(PACKAGES):
        print(f"installing: {' '.join(PACKAGES)}", flush=True)
        image.check(["sh", "-c", "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "
                     f"--no-install-recommends {' '.join(PACKAGES)}"])


class Suite:
    """Runs parts in the machine and adds up what they count."""

    def __init__(self, vm, store, seed, work):
        self.vm, self.store, self.seed, self.work, self.counter = vm, store, seed, work, suite.Counter()

    def inside(self, *arguments, seconds=1800, environment=(), prefix=()):
        """A part that prints its own lines and ends with its counts."""
        text = []

        def each(piece):
            text.append(piece)
            print(piece, end="", flush=True)
        command = ["env", *environment, *prefix, "python3", "-B", "/payload/tests/vm/inside.py", *arguments]
        try:
            code = self.vm.follow(command, each, seconds)
        except machine.Died as error:
            self.counter.fail(f"vm: {' '.join(arguments)}", str(error))
            raise
        found = re.findall(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", "".join(text), re.M)
        if not found:
            self.counter.fail(f"vm: {' '.join(arguments)}", f"ended without its counts (exit code {code})")
            return
        passed, failed, skipped = map(int, found[-1])
        self.counter.passed += passed
        self.counter.failed += failed or int(code != 0)
        self.counter.skipped += skipped

    def driver(self, name):
        self.vm.sh(f"systemctl stop berth && python3 -B /payload/tests/vm/inside.py configure {name} && systemctl start berth", seconds=300)
        said = self.vm.sh("journalctl -u berth.service -o cat --no-pager | grep 'cgroup driver' | tail -n 1").out.strip()
        assert "cgroup driver " + name.replace("auto", "systemd") in said, f"configured {name}, and berthd says: {said}"
        print(f"== {said}", flush=True)

    def unit(self):
        self.inside("unit")

    def limits(self):
        self.inside("limits", seconds=3600, environment=[f"BERTH_OOM_ROUNDS={option('rounds', ROUNDS)}"])

    def update(self):
        self.inside("update")
        self.inside("stats")

    def kubernetes(self):
        virtual_cluster.run(self.vm, self.work, self.counter, [name for name in option("tests", "").split(",") if name])

    def critest(self):
        self.inside("critest", "parallel", str(self.seed), seconds=6000)

    def cgroupfs(self):
        self.driver("cgroupfs")
        self.limits()
        self.update()
        self.driver("auto")

    def quota(self):
        """The kernel asks root to keep a quota only without CAP_SYS_RESOURCE; crun wants a limit then that it may not raise."""
        self.vm.sh("modprobe loop && modprobe quota_v2")
        self.inside("quota", "quota_is_reached", prefix=["prlimit", "--memlock=unlimited", "setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"])

    def reboot(self):
        print(self.vm.run("python3", "-B", "/payload/tests/vm/inside.py", "reboot", "before", seconds=300).out, end="", flush=True)
        down, up = self.vm.reboot()
        print(f"down after {down:.0f} s, takes commands {up:.0f} s later", flush=True)
        self.inside("reboot", "after")

    def rng(self, what):
        return lambda number: random.Random(f"{self.seed}-{what}-{number}")

    def power(self):
        Cuts(self.vm, self.store, self.seed, self.counter).series(int(option("cuts", CUTS)), self.rng("power"))

    def control(self):
        cuts = Cuts(self.vm, self.store, self.seed, self.counter)
        cuts.control("syncfs", "damaged layers", self.rng("syncfs"))
        cuts.control("fsync", "clients were told", self.rng("fsync"))


def main():
    parts = [part for part in PARTS if part in sys.argv[1:]] or PARTS
    wrong = [a for a in sys.argv[1:] if not a.startswith("--") and a not in PARTS]
    if wrong:
        sys.exit(f"run.py: no part is called {wrong[0]!r}; parts: {' '.join(PARTS)}")
    install_packages()
    tools.crictl(), tools.critest(), tools.ginkgo(), tools.go_program("cri_v1"), tools.berth_binary("berthd")
    work = image.CACHE / f"run-{os.getpid()}"
    began = time.monotonic()
    base = image.root_image()
    work.mkdir(parents=True)
    seed = int(option("seed", random.randrange(1, 1 << 31)))
    kubelet = tools.kubernetes() / "kubelet" if "kubernetes" in parts else None
    image.payload(work / "payload.ext4", work / "payload", kubelet)
    image.make_disk(work / "store.ext4", 8 << 30)
    store = VolatileDisk(work / "store.ext4", work / "store.sock")
    virtual_cluster.network()
    vm = machine.Machine(work, base, work / "payload.ext4", store.uri, virtual_cluster.TAP)
    run = Suite(vm, store, seed, work)
    try:
        print(f"disks are ready after {time.monotonic() - began:.0f} s, seed {seed}", flush=True)
        print(f"the machine takes commands {vm.boot():.0f} s after power on", flush=True)
        vm.run("sh", "/payload/tests/vm/install.sh", seconds=300)
        for part in parts:
            since = time.monotonic()
            getattr(run, part)()
            print(f"== vm {part}: {time.monotonic() - since:.0f} s", flush=True)
        vm.power_off()
    except (machine.Died, AssertionError, OSError) as error:
        run.counter.fail("the machine", str(error))
    finally:
        vm.close()
        store.close()
        if "--keep" in sys.argv[1:]:
            print(f"kept: {work}")
        else:
            shutil.rmtree(work)
    return run.counter.finish()


if __name__ == "__main__":
    sys.exit(main())
