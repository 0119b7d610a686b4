# SPDX-License-Identifier: Apache-2.0
"""System calls of a running daemon, by strace."""
import re
import shutil
import subprocess
import time

OPENS = ("open", "openat", "openat2")


def calls_during(node, action, names):
    """What berthd called of these while the action ran: (name, the rest of strace's line), in order."""
    if not shutil.which("strace"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "strace"], capture_output=True)
    trace = node.work / "strace.txt"
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", trace, "-e", "trace=" + ",".join(names), "-p", str(node.daemon.pid)],
                              stderr=subprocess.DEVNULL)
    time.sleep(1)  # until it is attached to every thread
    action()
    time.sleep(0.3)
    tracer.terminate()
    tracer.wait()
    return re.findall(r"^\d+ +(\w+)\((.*)", trace.read_text(), re.M)
