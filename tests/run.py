#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the parts of ./test and adds up what they counted. Each suite prints its own lines; the last line is the sum."""
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build" / "bin"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed=0, failed=0, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def one(self, name, ok, output=""):
        print(f"{'ok    ' if ok else 'FAILED'} {name}", flush=True)
        if not ok:
            print(output, flush=True)
        self.add(passed=int(ok), failed=int(not ok))


def run_gtest(binary, totals, prefix=()):
    """A GoogleTest program; what it counts is added. A program that dies counts as one failure."""
    began = time.monotonic()
    done = subprocess.run([*prefix, str(binary), "--gtest_brief=1"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=900)
    text = done.stdout

    def count(word):
        found = re.findall(rf"^\[\s*{word}\s*\] (\d+) tests?", text, re.M)
        return int(found[-1]) if found else 0

    passed, failed, skipped = count("PASSED"), count("FAILED"), count("SKIPPED")
    if done.returncode != 0 and failed == 0:
        failed = 1
    if done.returncode == 0 and passed == 0 and skipped == 0:
        failed = 1  # a program without tests cannot vouch for anything
    if failed or skipped:
        print(text)
    print(f"{'ok    ' if failed == 0 else 'FAILED'} {binary.name}: {passed} passed, {failed} failed, "
          f"{skipped} skipped ({time.monotonic() - began:.1f} s)", flush=True)
    totals.add(passed, failed, skipped)


def run_script(name, command, totals):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    totals.one(name, done.returncode == 0, done.stdout)


def run_counted(command, totals):
    """A suite that prints its own lines and ends with 'N passed, N failed, N skipped'."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    last = ""
    for line in process.stdout:
        if line.strip():
            last = line.strip()
        print(line, end="", flush=True)
    code = process.wait()
    found = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", last)
    if not found:
        print(f"FAILED {command[1]}: ended without its counts (exit code {code})")
        totals.add(failed=1)
        return
    passed, failed, skipped = map(int, found.groups())
    if code != 0 and failed == 0:
        failed = 1
    totals.add(passed, failed, skipped)


def check_format(totals):
    program = "clang-format-19"  # another version breaks lines elsewhere
    if shutil.which(program) is None:
        print(f"skip   format: {program} is not installed", flush=True)
        totals.add(skipped=1)
        return
    files = sorted(str(path) for folder in ("src", "tests") for path in (ROOT / folder).rglob("*")
                   if path.suffix in (".h", ".cc"))
    run_script("format", [program, "--dry-run", "-Werror", *files], totals)


def unit(totals):
    run_script("layers", [sys.executable, "tools/check_layers.py"], totals)
    run_script("rules", [sys.executable, "tools/check_rules.py"], totals)
    run_script("sizes", [sys.executable, "tools/check_size.py"], totals)
    check_format(totals)
    for binary in sorted(BIN.glob("*_test")):
        # A mount namespace of its own: no test can leave a mount on the machine.
        run_gtest(binary, totals, ["unshare", "-m", "--propagation", "private"])


def suite(name, *arguments):
    path = ROOT / "tests" / name / "run.py"

    def run(totals):
        if not path.exists():
            print(f"{name}: this part does not exist yet; docs/testing.md says when it comes")
            return
        run_counted([sys.executable, str(path), *arguments], totals)

    return run


def integration(totals):
    suite("integration")(totals)
    suite("cni")(totals)


def kubernetes(totals):
    suite("kubernetes")(totals)
    run_counted([sys.executable, str(ROOT / "tests" / "kubernetes" / "kubeadm.py")], totals)


PARTS = {"unit": unit, "integration": integration, **{name: suite(name) for name in
                          ("conformance", "crash", "races", "soak", "fuzz", "vm")}, "kubernetes": kubernetes,
         "conformance-full": suite("conformance", "--full"), "crash-full": suite("crash", "--full")}


def main():
    totals = Totals()
    for part in sys.argv[1:]:
        print(f"== {part}", flush=True)
        PARTS[part](totals)
    print(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped")
    return 1 if totals.failed or totals.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
