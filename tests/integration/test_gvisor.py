# SPDX-License-Identifier: Apache-2.0
"""crun, runc and gVisor's runsc side by side on one node, chosen by the pod."""
import contextlib
import subprocess
import time
import urllib.request

from support import environment, gvisor
from support.node import SLEEP, Node
from support.suite import contains, equal, eventually, test

HANDLERS = ("crun", "runc", "runsc")


@contextlib.contextmanager
def node_with_gvisor(node):
    other = Node(node.work / "gvisor", environment.STORE / "gvisor", "/run/berth-gvisor",
                 {"network": {"default_bridge": "berth1", "default_subnet": "10.99.0.0/16"}, **gvisor.handler()})
    other.start()
    try:
        other.crictl("pull", "127.0.0.1:5000/test/web:1", timeout=120)
        other.crictl("pull", "127.0.0.1:5000/test/busybox:1", timeout=120)
        yield other
    finally:
        with contextlib.suppress(Exception):
            other.crictl("rmp", "-fa", timeout=100)
        other.close()
        subprocess.run(["ip", "link", "del", "berth1"], capture_output=True)


@contextlib.contextmanager
def forwarded(node, pod, port, to):
    process = subprocess.Popen(node.command("port-forward", pod.id, f"{port}:{to}"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        line = process.stdout.readline().decode()
        contains(line, "Forwarding from")
        yield
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def is_gvisor(container):
    """gVisor's kernel says what it is."""
    return "gVisor" in container.sh("dmesg 2>/dev/null; true")


@test(seconds=400)
def test_crun_runc_and_gvisor_side_by_side(node):
    with node_with_gvisor(node) as mixed, contextlib.ExitStack() as pods:
        for handler in HANDLERS:
            pod = pods.enter_context(mixed.pod(handler=handler, name=f"pod-{handler}"))
            equal(mixed.json("inspectp", pod.id)["status"]["runtimeHandler"], handler, "handler")
            web = pod.run(["sh", "-c", "echo to the log; echo to stderr >&2; echo page >/tmp/index.html; exec httpd -f -p 8080 -h /tmp"])
            second = pod.run(SLEEP, name="second")
            equal(is_gvisor(web), handler == "runsc", f"{handler}: is gVisor")
            eventually(lambda web=web: len(web.lines()) == 2)
            equal(sorted(web.lines()), [("stderr", "F", "to stderr"), ("stdout", "F", "to the log")], f"{handler}: log")
            check_exec(second, handler)
            check_stats(mixed, web, handler)
            check_port_forward(mixed, pod, second, handler)
            check_ends(second, pod, handler)


def check_exec(container, handler):
    equal(container.sh("echo one; hostname").split(), ["one", container.sh("cat /etc/hostname").strip()], f"{handler}: exec")
    done = container.exec("sh", "-c", "echo wrong >&2; exit 7", check=False)
    contains(done.text, "wrong", "7")
    node = container.node
    done = subprocess.run(node.command("exec", "-i", container.id, "cat"), input="streamed\n", capture_output=True, text=True, timeout=60)
    equal((done.returncode, done.stdout), (0, "streamed\n"), f"{handler}: exec with standard input")


def check_stats(node, container, handler):
    container.sh("head -c 3000000 /dev/zero >/root/file; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    stats = eventually(lambda: node.json("stats", "-o", "json", "--id", container.id)["stats"][0])
    for part, field in (("cpu", "usageCoreNanoSeconds"), ("memory", "workingSetBytes")):
        assert int(stats[part][field]["value"]) > 0, (handler, stats)
    assert int(stats["writableLayer"]["usedBytes"]["value"]) >= 3000000, (handler, stats["writableLayer"])


def check_port_forward(node, pod, other, handler):
    equal(other.sh("wget -qO- http://127.0.0.1:8080/").strip(), "page", f"{handler}: the pod's containers share its network")
    port = 18000 + HANDLERS.index(handler)
    with forwarded(node, pod, port, 8080):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            equal(answer.read(), b"page\n", f"{handler}: page")


def check_ends(container, pod, handler):
    """The stop signal reaches the program, its exit code comes back; a kill is told as such."""
    container.node.crictl("stop", "-t", "20", container.id)
    equal(container.status()["exitCode"], 0, f"{handler}: exit code after SIGTERM")
    short = pod.run(["sh", "-c", "exit 9"], name="short")
    equal(short.wait_exit()["exitCode"], 9, f"{handler}: exit code")
    stubborn = pod.run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], name="stubborn")
    began = time.monotonic()
    stubborn.node.crictl("stop", "-t", "1", stubborn.id)
    assert time.monotonic() - began >= 1, f"{handler}: killed before its time"
    equal(stubborn.status()["exitCode"], 137, f"{handler}: exit code after SIGKILL")
