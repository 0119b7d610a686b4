# SPDX-License-Identifier: Apache-2.0
"""Collects test functions, runs them one after the other and counts: one line each, the sum last."""
import signal
import socket
import sys
import time
import traceback

from . import environment

TESTS = []
GIVE_UP = 15


class Skip(Exception):
    """The reason why this machine cannot run a test."""


class TooLong(Exception):
    pass


def test(function=None, *, seconds=60):
    """Registers a function; its name is what the program must do."""
    def register(f):
        TESTS.append((f, seconds))
        return f
    return register(function) if function else register


class Counter:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def ok(self, name, seconds):
        self.passed += 1
        print(f"ok     {name} ({seconds:.1f} s)", flush=True)

    def fail(self, name, text):
        self.failed += 1
        print(f"FAILED {name}\n{text.rstrip()}", flush=True)

    def skip(self, name, reason):
        self.skipped += 1
        print(f"skip   {name}: {reason}", flush=True)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed or self.passed == 0 else 0


def _alarm(*_):
    raise TooLong()


def run_tests(node, after_each, only=()):
    """Each test gets the node. after_each(node) raises AssertionError when the test has left something behind."""
    counter, in_a_row = Counter(), 0
    signal.signal(signal.SIGALRM, _alarm)
    for function, seconds in TESTS:
        name = f"{function.__module__.removeprefix('test_')}.{function.__name__.removeprefix('test_')}"
        if only and not any(part in name for part in only):
            continue
        if in_a_row == GIVE_UP:
            counter.fail("the rest of the suite", f"not run: {GIVE_UP} tests in a row have failed")
            break
        began = time.monotonic()
        mark = node.log_mark()
        try:
            signal.alarm(int(seconds * environment.PATIENCE))
            function(node)
            after_each(node)
            signal.alarm(0)
            counter.ok(name, time.monotonic() - began)
            in_a_row = 0
        except Skip as reason:
            signal.alarm(0)
            counter.skip(name, reason)
        except BaseException as error:
            signal.alarm(0)
            if isinstance(error, KeyboardInterrupt):
                raise
            text = f"took longer than {seconds} s\n" if isinstance(error, TooLong) else ""
            text += "".join(traceback.format_exception(error)[-6:])
            in_a_row += 1
            counter.fail(name, f"{text}--- berthd's log of this test\n{node.log_since(mark)}\n---")
            signal.alarm(int(60 * environment.PATIENCE))
            try:
                node.recover()
            except BaseException as second:
                print(f"cleaning up after {name} failed: {second}", flush=True)
            signal.alarm(0)
    if only and not counter.passed + counter.failed + counter.skipped:
        counter.fail("the choice of tests", f"none is called {' or '.join(only)}")
    return counter


def equal(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def contains(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in {text!r}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(check, seconds=10, interval=0.05):
    """check() returns something true, or raises AssertionError until then."""
    end = time.monotonic() + seconds * environment.PATIENCE
    while True:
        try:
            value = check()
            if value:
                return value
            error = AssertionError(f"not within {seconds} s")
        except AssertionError as failed:
            error = failed
        if time.monotonic() > end:
            raise error
        time.sleep(interval)


def suite_arguments():
    """Names, or parts of them, of the tests to run; none: all."""
    return [a for a in sys.argv[1:] if not a.startswith("-")]
