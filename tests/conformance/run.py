#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""critest v1.36.0 against a berthd of its own.   run.py [FOCUS, a regular expression]"""
import json
import pathlib
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, registry, suite, tools
from support.node import Node
from support.snapshot import Snapshot, of_the_node_itself

SECONDS = 480


def read_skips():
    lines = (pathlib.Path(__file__).resolve().parent / "skips.txt").read_text().splitlines()
    return [tuple(line.split("\t", 1)) for line in lines if line and not line.startswith("#")]


def run_critest(node, binary, name, focus, skip):
    """Starts it: the process, the file that ginkgo reports to, the output."""
    report = node.work / f"report-{name}.json"
    command = [binary, "-test.v", "-runtime-endpoint", node.socket, "-image-endpoint", node.socket, "-ginkgo.no-color",
               f"-ginkgo.json-report={report}", f"-ginkgo.timeout={SECONDS - 30}s", "-ginkgo.skip", "|".join(skip)]
    if focus:
        command += ["-ginkgo.focus", focus]
    log = open(node.work / f"critest-{name}.log", "w+")
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=node.work), report, log


def specs_of(report):
    for suite_report in json.loads(report.read_text()):
        for spec in suite_report["SpecReports"] or []:
            name = " ".join([*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]]).strip()
            yield name or spec["LeafNodeType"], spec


def run_whole(counter, skips, started):
    process, report, log = started
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if report.exists():
        report_specs(report, skips, counter)
    else:
        log.seek(0)
        counter.fail("critest", f"ended with {process.returncode} without a report:\n{log.read()[-3000:]}")


def report_specs(report, skips, counter):
    for name, spec in specs_of(report):
        reason = next((why for pattern, why in skips if re.search(pattern, name)), None)
        seconds = spec["RunTime"] / 1e9
        if spec["LeafNodeType"] != "It" and spec["State"] == "passed":
            continue
        if spec["State"] == "passed":
            counter.ok(name, seconds)
        elif spec["State"] == "skipped":
            said = (spec.get("Failure") or {}).get("Message")
            if said and not reason:
                counter.fail(name, f"skipped itself, and skips.txt does not expect that: {said}")
            elif reason and "measures" not in reason:
                counter.skip(name, said or reason)
        elif spec["State"] != "pending":
            failure = spec.get("Failure") or {}
            counter.fail(name, f"{failure.get('Message', spec['State'])}\n{failure.get('Location', {}).get('FileName')}:"
                               f"{failure.get('Location', {}).get('LineNumber')}\n{spec.get('CapturedGinkgoWriterOutput', '')[-1500:]}")


def main():
    from images import HOSTS, PINNED_DIGEST, push_all
    work = environment.WORK
    images = registry.Registry(work, environment.STORE / "registry", 5000)
    stand_in = push_all(images.host).removeprefix("sha256:")
    binary = work / "critest"
    binary.write_bytes(tools.critest().read_bytes().replace(PINNED_DIGEST.encode(), stand_in.encode()))
    binary.chmod(0o755)
    node = Node(work / "node", environment.STORE / "root", "/run/berth")
    for host in HOSTS:
        registry.write_hosts(node.certs, host, f"http://{images.host}")
    node.start()
    before = Snapshot([node.state, "/run/netns", "/var/lib/cni"])
    counter = suite.Counter()
    skips = read_skips()
    skip = [pattern for pattern, _ in skips]
    began = time.monotonic()
    focus = "|".join(suite.suite_arguments())
    run_whole(counter, skips, run_critest(node, binary, "all", focus, skip))
    try:
        node.crictl("rmp", "-fa")
        subprocess.run("ipcs -m | awk '$2 ~ /^[0-9]+$/ {print $2}' | xargs -r -n1 ipcrm -m", shell=True, capture_output=True)
        before.assert_nothing_added(of_the_node_itself)
        counter.ok("critest leaves nothing behind", time.monotonic() - began)
        node.close()
    except AssertionError as error:
        counter.fail("critest leaves nothing behind", str(error))
    if counter.failed:
        print(f"--- berthd's log\n{node.log_since(0)}")
    images.close()
    return counter.finish()


if __name__ == "__main__":
    tools.crictl()
    tools.critest()
    tools.berth_binary("berthd")
    environment.run_isolated(main)
