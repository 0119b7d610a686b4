#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Berth's CNI plugins beside the reference plugins, called as a runtime calls them.   run.py [PART OF A NAME...]"""
import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

import plugins
from support import environment, suite, tools

PARTS = ["test_results", "test_traffic", "test_exchange", "test_failures", "test_many", "test_crash", "test_pods"]
LONG = 3600  # seconds, with BERTH_CNI_PODS


class Host:
    """What every test gets: the sets of plugins, Berth's first. The rest is what suite.run_tests asks of a node."""
    def __init__(self):
        self.sets = plugins.sets()
        self.own, self.references = self.sets[0], self.sets[1:]

    def log_mark(self):
        return 0

    def log_since(self, _):
        return ""

    def recover(self):
        plugins.clean()


def main():
    for part in PARTS:
        __import__(part)
    host = Host()

    def after(_):
        try:  # a namespace's interfaces go a moment after it
            suite.eventually(lambda: not plugins.left_behind(), seconds=4)
        except AssertionError:
            raise AssertionError("left behind:\n  " + "\n  ".join(plugins.left_behind())) from None
        finally:
            plugins.clean()

    plugins.clean()
    return suite.run_tests(host, after, suite.suite_arguments()).finish()


if __name__ == "__main__":
    tools.berth_binary("berth-cni")
    tools.reference_plugins()
    tools.berth_binary("berthd")
    tools.crictl()
    environment.run_isolated(main, LONG if "BERTH_CNI_PODS" in os.environ else environment.SUITE_SECONDS)
