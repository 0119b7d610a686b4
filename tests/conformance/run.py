#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""critest v1.36.0 against a berthd of its own.   run.py [--full | --runs=NAME,...] [--seed=N] [FOCUS, a regular expression]

Runs: crun, runc (the default handler), websocket (exec, attach and port-forward through it), parallel and reference (the
reference CNI plugins instead of Berth's), all three on crun. Each is in random order with a seed that is printed and that --seed repeats. Without an argument: crun and runc; with a focus: crun."""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, registry, suite, tools
from support.node import Node
from support.snapshot import Snapshot, of_the_node_itself

SECONDS = 480  # for one run
SPECS = 122  # in critest v1.36.0: a report with fewer is not of all of it
FULL = ["crun", "runc"] * 3 + ["websocket", "parallel", "reference"]
NODES = 4  # that a parallel run spreads its specs over


def read_skips():
    lines = (pathlib.Path(__file__).resolve().parent / "skips.txt").read_text().splitlines()
    return [tuple(line.split("\t", 1)) for line in lines if line and not line.startswith("#")]


def arguments(name):
    """What a run adds to critest's arguments."""
    if name == "websocket":
        return ["-websocket-exec", "-websocket-attach", "-websocket-portforward"]
    return [f"-parallel={NODES}"] if name == "parallel" else []


def start_critest(node, binary, name, seed, focus, skip):
    """The process, the file that ginkgo reports to, the output."""
    report = node.work / f"report-{name}.json"
    report.unlink(missing_ok=True)
    command = [binary, "-test.v", "-runtime-endpoint", node.socket, "-image-endpoint", node.socket, "-ginkgo.no-color",
               f"-ginkgo.json-report={report}", f"-ginkgo.timeout={SECONDS - 30}s", "-ginkgo.skip", "|".join(skip),
               "-ginkgo.randomize-all", f"-ginkgo.seed={seed}", *arguments(name)]
    if focus:
        command += ["-ginkgo.focus", focus]
    log = open(node.work / f"critest-{name}.log", "w+")
    environ = {**os.environ, "PATH": f"{tools.CACHE}:{os.environ['PATH']}"}  # -parallel looks for ginkgo there
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=node.work, env=environ), report, log


def specs_of(report):
    for suite_report in json.loads(report.read_text()):
        for spec in suite_report["SpecReports"] or []:
            name = " ".join([*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]]).strip()
            yield name or spec["LeafNodeType"], spec


def run_whole(counter, skips, started, label, whole):
    process, report, log = started
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if report.exists():
        report_specs(report, skips, counter, label, whole)
    else:
        log.seek(0)
        counter.fail(f"{label} critest", f"ended with {process.returncode} without a report:\n{log.read()[-3000:]}")


def report_specs(report, skips, counter, label, whole):
    specs = 0
    for name, spec in specs_of(report):
        is_spec = spec["LeafNodeType"] == "It"
        specs += is_spec
        reason = next((why for pattern, why in skips if re.search(pattern, name)), None)
        seconds = spec["RunTime"] / 1e9
        name = f"{label} {name}"
        if not is_spec and spec["State"] == "passed":
            continue
        if spec["State"] == "passed":
            counter.ok(name, seconds)
        elif spec["State"] == "skipped":
            said = (spec.get("Failure") or {}).get("Message")
            if said and not reason:
                counter.fail(name, f"skipped itself, and skips.txt does not expect that: {said}")
            elif whole and reason and "measures" not in reason:
                counter.skip(name, said or reason)
            elif whole and not reason:
                counter.fail(name, "was not run, and skips.txt does not expect that")
        elif spec["State"] != "pending":
            failure = spec.get("Failure") or {}
            counter.fail(name, f"{failure.get('Message', spec['State'])}\n{failure.get('Location', {}).get('FileName')}:"
                               f"{failure.get('Location', {}).get('LineNumber')}\n{spec.get('CapturedGinkgoWriterOutput', '')[-1500:]}")
    unused = [pattern for pattern, _ in skips if not any(re.search(pattern, name) for name, _ in specs_of(report))]
    if whole and unused:
        counter.fail(f"{label} skips.txt", f"no spec is called {unused}")
    if whole and specs < SPECS:
        counter.fail(f"{label} critest", f"reported {specs} of {SPECS} specs")


def one_run(node, binary, name, seed, counter, skips, ignore=of_the_node_itself):
    before, began = Snapshot([node.state, "/run/netns", "/var/lib/cni"]), time.monotonic()
    counted = (counter.passed, counter.failed, counter.skipped)
    mark = node.log_mark()
    label = f"{name}:"
    focus = "|".join(suite.suite_arguments())
    started = start_critest(node, binary, name, seed, focus, [pattern for pattern, _ in skips])
    run_whole(counter, skips, started, label, not focus)
    try:
        node.crictl("rmp", "-fa")
        subprocess.run("ipcs -m | awk '$2 ~ /^[0-9]+$/ {print $2}' | xargs -r -n1 ipcrm -m", shell=True, capture_output=True)
        before.assert_nothing_added(ignore)
        counter.ok(f"{label} critest leaves nothing behind", time.monotonic() - began)
    except AssertionError as error:
        counter.fail(f"{label} critest leaves nothing behind", str(error))
    passed, failed, skipped = (now - then for now, then in zip((counter.passed, counter.failed, counter.skipped), counted))
    if failed:
        print(f"--- berthd's log\n{node.log_since(mark)}")
    print(f"== {name}, seed {seed}: {passed} passed, {failed} failed, {skipped} skipped in {time.monotonic() - began:.0f} s", flush=True)


def option(name, default=None):
    return next((a.partition("=")[2] for a in sys.argv[1:] if a.startswith(f"--{name}=")), default)


def runs():
    if "--full" in sys.argv[1:]:
        return FULL
    return option("runs", "crun" if suite.suite_arguments() else "crun,runc").split(",")


def main():
    from images import HOSTS, PINNED_DIGEST, push_all
    work = environment.WORK
    images = registry.Registry(work, environment.STORE / "registry", 5000)
    stand_in = push_all(images.host).removeprefix("sha256:")
    binary = work / "critest"
    binary.write_bytes(tools.critest().read_bytes().replace(PINNED_DIGEST.encode(), stand_in.encode()))
    binary.chmod(0o755)
    counter = suite.Counter()
    for name in runs():
        handler = "runc" if name == "runc" else "crun"
        options = {"runtime": {"default_handler": handler}, **({"network": {"native_plugins": False}} if name == "reference" else {})}
        node = Node(work / f"node-{handler}", environment.STORE / "root", "/run/berth", options)
        for host in HOSTS:
            registry.write_hosts(node.certs, host, f"http://{images.host}")
        node.start()
        one_run(node, binary, name, int(option("seed", random.randrange(1, 1 << 31))), counter, read_skips())
        try:
            node.close()
        except AssertionError as error:
            counter.fail(f"{name}: berthd ends on SIGTERM", str(error))
    images.close()
    return counter.finish()


if __name__ == "__main__":
    tools.crictl()
    tools.critest()
    tools.berth_binary("berthd")
    if "parallel" in runs():
        tools.ginkgo()
    environment.run_isolated(main, seconds=len(runs()) * (SECONDS + 60))
