#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every fuzz target for a minute, under clang with libFuzzer, ASan and UBSan, and the adversarial suites built alike.
run.py [--seconds N] [--merge] [TARGET...]
Starts from tests/fuzz/corpus; what is found on the way is kept in .cache/fuzz for the next run, and with --merge what adds
to the coverage goes into the corpus. A crash leaves its input in .cache/fuzz and is printed."""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD, KEPT, CORPUS = ROOT / "build" / "fuzz", ROOT / ".cache" / "fuzz", ROOT / "tests" / "fuzz" / "corpus"
CLANG = "clang++-19"
MAX_INPUT = {"unpack": 64 << 10, "archive": 64 << 10}
# name -> (program, its tests, what they count): crafted inputs with a known outcome, the programs in their sandboxes.
SUITES = {"adversarial": ("unpack_test", "AdversarialTest.*", "layers"),
          "hostile_manifests": ("fetch_test", "HostileManifestTest.*", "documents")}


def build(targets):
    if shutil.which(CLANG) is None:
        raise SystemExit(f"{CLANG} is missing: apt-get install clang-19 libclang-rt-19-dev")
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    subprocess.run(["cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={CLANG}", "-DBERTH_FUZZ=ON",
                    "-DCMAKE_BUILD_TYPE=RelWithDebInfo", *launcher], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", BUILD, "--target", *targets], check=True, stdout=subprocess.DEVNULL)


def fuzz(name, seconds, scratch):
    """(works, what to print)."""
    kept = KEPT / name
    kept.mkdir(parents=True, exist_ok=True)
    corpus = CORPUS / name
    if not any(corpus.iterdir()):
        return False, "its corpus is empty"
    command = [BUILD / "bin" / f"{name}_fuzz", f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=1024", "-verbosity=1",
               f"-max_len={MAX_INPUT.get(name, 8 << 10)}", "-print_final_stats=1", f"-artifact_prefix={KEPT}/{name}-crash-",
               kept, corpus]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          env={**os.environ, "TMPDIR": scratch}, timeout=seconds + 300)
    runs = re.search(r"stat::number_of_executed_units: (\d+)", done.stdout)
    if done.returncode == 0 and runs and int(runs[1]) > 0:
        return True, f"{runs[1]} inputs"
    return False, done.stdout[-4000:]


def suite(name):
    """(works, what to print)."""
    program, tests, what = SUITES[name]
    done = subprocess.run(["unshare", "-m", "--propagation", "private", BUILD / "bin" / program, f"--gtest_filter={tests}"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=1200)
    crafted = sum(map(int, re.findall(rf"^(\d+) crafted {what}$", done.stdout, re.M)))
    if done.returncode == 0 and crafted > 0 and "[  SKIPPED ]" not in done.stdout:
        return True, f"{crafted} crafted {what}"
    return False, done.stdout[-4000:]


def merge(name):
    merged = KEPT / f"{name}.merged"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    subprocess.run([BUILD / "bin" / f"{name}_fuzz", "-merge=1", merged, CORPUS / name, KEPT / name], check=True, capture_output=True)
    for path in merged.iterdir():
        if not any(path.read_bytes() == other.read_bytes() for other in (CORPUS / name).iterdir()):
            shutil.copy(path, CORPUS / name / path.name[:16])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    known = sorted(path.name.removesuffix("_fuzz.cc") for path in (ROOT / "tests" / "fuzz").glob("*_fuzz.cc"))
    chosen = options.targets or [*SUITES, *known]
    build([SUITES[name][0] if name in SUITES else f"{name}_fuzz" for name in chosen])
    passed = failed = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as scratch:
        for name in chosen:
            good, text = suite(name) if name in SUITES else fuzz(name, options.seconds, scratch)
            print(f"{'ok    ' if good else 'FAILED'} {name}: {text}", flush=True)
            passed, failed = passed + good, failed + (not good)
            if options.merge and good and name not in SUITES:
                merge(name)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
