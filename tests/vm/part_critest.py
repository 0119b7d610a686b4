# SPDX-License-Identifier: Apache-2.0
"""Inside the virtual machine: critest as in tests/conformance, with the specs that need AppArmor too.
inside.py critest NAME SEED [FOCUS]"""
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

import guest
import run as conformance
from images import PINNED_DIGEST
from inside import changes_by_itself
from support import suite, tools

# Under emulation everything takes some fifteen times as long.
SECONDS = 5400
SKIPS = [("benchmark", "measures, does not check"),
         ("when Host idmap mount support is needed", "critest skips it where /run, a tmpfs, has no idmapped mounts: before Linux 6.3")]


def tell_progress(log):
    """A line a minute: the report comes only at the end."""
    while True:
        time.sleep(60)
        text = log.read_text(errors="replace") if log.exists() else ""
        print(f"critest: {text.count(chr(8226))} specs have ended, {text.count('[FAIL]')} failed", flush=True)


def main(name, seed, *focus):
    node = guest.UnitNode()
    pinned = pathlib.Path("/payload/registry/pinned-digest").read_text().removeprefix("sha256:")
    binary = guest.WORK / "critest"
    binary.write_bytes(tools.critest().read_bytes().replace(PINNED_DIGEST.encode(), pinned.encode()))
    binary.chmod(0o755)
    sys.argv[1:] = focus
    conformance.SECONDS = SECONDS
    threading.Thread(target=tell_progress, args=(node.work / f"critest-{name}.log",), daemon=True).start()
    counter = suite.Counter()
    conformance.one_run(node, binary, name, int(seed), counter, SKIPS, changes_by_itself)
    return counter.finish()
