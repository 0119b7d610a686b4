# SPDX-License-Identifier: Apache-2.0
"""Power cuts, from outside of the machine: when they come, what clients had been told by then, what is true afterwards.

  churn in the guest --lines--> Churn     which image must be there, which must not, which is under way
  the store's disk stops at a chosen write or flush, before it is carried out (volatile_disk.py)
  2 s later qemu is killed; a part of what was not flushed is lost; the machine boots; part_power.check() looks"""
import collections
import json
import queue
import time

INSIDE = ["python3", "-B", "/payload/tests/vm/inside.py"]
FIRST_SECONDS = 600  # until the churn has done as much as a cut waits for
DROP_IN = "/etc/systemd/system/berth.service.d/nosync.conf"

Cut = collections.namedtuple("Cut", "code text")


class Churn:
    """The churn's lines. `images`: number -> whether a client was told last that it is there (True) or gone (False); an image is not
    in it while a call for it is under way or after one that failed."""

    def __init__(self, vm, rng):
        _, self.answers = vm.start([*INSIDE, "power", "churn", str(rng.randrange(1 << 30))])
        self.rest, self.images, self.told = "", {}, collections.Counter()

    def read(self, seconds):
        """What comes within that time."""
        end = time.monotonic() + seconds
        while True:
            try:
                value = self.answers.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                return
            assert value is not None and "out" in value, f"the churn ended: {self.rest}"
            *lines, self.rest = (self.rest + value["out"]).split("\n")
            for line in lines:
                self._line(line.split())

    def _line(self, words):
        if words[:1] == ["begin"]:
            self.images.pop(int(words[2]), None)
        elif words[:1] == ["done"]:
            _, what, number, code = words
            if code == "0":
                self.images[int(number)] = what == "pull"
                self.told[what] += 1
        elif words[:1] == ["pod"]:
            self.told["pod"] += 1
        elif words:
            print(" ".join(words), flush=True)

    def wait(self, pulls):
        end = time.monotonic() + FIRST_SECONDS
        while self.told["pull"] < pulls:
            assert time.monotonic() < end, f"{dict(self.told)} in {FIRST_SECONDS} s"
            self.read(0.2)


class Cuts:
    def __init__(self, vm, store, seed, counter):
        self.vm, self.store, self.seed, self.counter = vm, store, seed, counter
        self.lost = 0

    def series(self, count, rng_of):
        """Each of them must leave a node in order, and all together must have lost something."""
        for number in range(count):
            name, began = f"power cut {number} (seed {self.seed}) leaves a node in order", time.monotonic()
            rng = rng_of(number)
            cut = self.one(rng, rng.randint(1, 4), rng.uniform(0, 4), rng.choice(("write", "flush")), rng.randint(1, 1200))
            if cut.code == 0:
                self.counter.ok(name, time.monotonic() - began)
            else:
                log = self.vm.sh("journalctl -b -u berth.service -o cat --no-pager | tail -60", ok=False).out
                self.counter.fail(name, f"{cut.text}\n--- berthd's log\n{log}")
        if self.lost == 0:
            self.counter.fail("power cuts lose what was not flushed", f"{count} cuts have lost no block: they show nothing")
        else:
            self.counter.ok(f"power cuts lose what was not flushed: {self.lost} blocks in {count} cuts", 0)

    def one(self, rng, pulls, after, kind, blocks):
        """Waits for so many answered pulls and that many seconds more; then the disk stops at the first such request that finds as
        many blocks unflushed (fewer, when that does not come)."""
        churn = Churn(self.vm, rng)
        churn.wait(pulls)
        churn.read(after)
        while not self.store.stop_at(kind, blocks, 0):
            churn.read(0.3)
            if self.store.stop_at(kind, blocks, 15):
                break
            blocks = max(1, blocks // 2)
        churn.read(2)  # what was said before the disk stopped arrives
        self.vm.power_cut()
        kept, lost = self.store.cut(rng)
        self.lost += lost
        told = ", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in sorted(churn.told.items()))
        print(f"cut before a {kind} was carried out, after {told}; {kept + lost} blocks were unflushed: {lost} lost, {kept} kept", flush=True)
        booted = self.vm.boot()
        done = self.vm.run(*INSIDE, "power", "check", json.dumps(churn.images), seconds=1200, ok=False)
        print(f"booted in {booted:.0f} s; {done.out.strip()}", flush=True)
        return Cut(done.code, done.out)

    # ------------------------------------------------------------------ the checks themselves
    def control(self, call, wanted, rng_of, tries=5):
        """With that call left out of berthd, a cut soon after a pull must be seen by the check."""
        name, began = f"a berthd without {call} does not pass the check", time.monotonic()
        self.vm.sh(f"install -d {DROP_IN.rpartition('/')[0]} && install -m 755 /payload/nosync.so /usr/local/lib/ && "
                   f"printf '[Service]\\nEnvironment=LD_PRELOAD=/usr/local/lib/nosync.so NOSYNC={call}\\n' > {DROP_IN} && systemctl daemon-reload")
        self._new_store()
        try:
            for number in range(tries):
                rng = rng_of(number)
                cut = self.one(rng, rng.randint(2, 3), 0, rng.choice(("write", "flush")), 1)
                if cut.code != 0:
                    assert wanted in cut.text, f"it failed, but for another reason:\n{cut.text}"
                    self.counter.ok(f"{name} (cut {number + 1})", time.monotonic() - began)
                    return
            self.counter.fail(name, f"{tries} cuts, and the check has seen nothing")
        finally:
            self.vm.sh(f"rm {DROP_IN} && systemctl daemon-reload")
            self._new_store()

    def _new_store(self):
        self.vm.sh("systemctl stop berth && find /var/lib/berth -mindepth 1 -delete && sync && systemctl start berth", seconds=300)
