# SPDX-License-Identifier: Apache-2.0
"""crun, runc and gVisor's runsc side by side on one node, chosen by RuntimeClass: logs, exec, probes, statistics, port-forward."""
import urllib.request

from objects import BUSYBOX, FOREVER, WEB, container, pod, status_of
from support.suite import contains, equal, eventually, test
from test_node import summary_of
from test_streams import Terminal, background, read

HANDLERS = ("crun", "runc", "runsc")
SERVE = "echo to the log; dd if=/dev/zero of=/root/file bs=1M count=3 2>/dev/null; httpd -f -p 8080 -h /www & " \
        "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; trap 'exit 0' TERM; while :; do sleep 0.2; done"


def runtime_class(name):
    return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": name}


def pod_of(handler):
    probes = {"readinessProbe": {"exec": {"command": ["test", "-e", "/root/file"]}, "periodSeconds": 1, "timeoutSeconds": 20},
              "livenessProbe": {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 2, "timeoutSeconds": 20,
                                "initialDelaySeconds": 5}}
    return pod(handler, container(SERVE, "web", f"{WEB}:1", **probes), container(FOREVER, "other", BUSYBOX), runtimeClassName=handler)


@test(seconds=400)
def test_crun_runc_and_gvisor_side_by_side(cluster):
    if cluster.without_gvisor:
        raise cluster.without_gvisor
    cluster.apply(*map(runtime_class, HANDLERS))
    cluster.apply(*map(pod_of, HANDLERS))
    for handler in HANDLERS:
        cluster.wait_pod(handler, seconds=120)
        sandbox = cluster.node.json("pods", "-o", "json", "--name", f"^{handler}$")["items"][0]
        equal(sandbox["runtimeHandler"], handler, "handler")
        kernel = cluster.out("exec", handler, "-c", "web", "--", "sh", "-c", "dmesg 2>/dev/null; true")
        equal("gVisor" in kernel, handler == "runsc", f"{handler}: is gVisor's kernel")
        equal(cluster.out("logs", handler, "-c", "web"), "to the log\n", f"{handler}: log")
        check_exec(cluster, handler)
        check_port_forward(cluster, handler, 18090 + HANDLERS.index(handler))
    for handler in HANDLERS:
        eventually(lambda handler=handler: has_statistics(cluster, handler), 90, 2)
        for name in ("web", "other"):
            equal(status_of(cluster.pod_status(handler), name)["restartCount"], 0, f"{handler}: restarts of {name}")


def check_exec(cluster, handler):
    done = cluster.kubectl("exec", "-i", handler, "-c", "other", "--", "sh", "-c", "cat; echo wrong >&2; exit 7", stdin="through\n",
                           check=False)
    equal((done.returncode, done.stdout), (7, "through\n"), f"{handler}: exec")
    contains(done.stderr, "wrong", "exit code 7")
    with Terminal(cluster, "exec", "-it", handler, "-c", "other", "--", "sh") as terminal:
        terminal.expect(r"[#$] ")
        terminal.type("echo $((6*7)); exit 5\n")
        terminal.expect(r"\n42\r")
        eventually(lambda: terminal.read() and False or terminal.process.poll() is not None, 30)
        contains(terminal.read(), "exit code 5")
    page = cluster.out("exec", handler, "-c", "other", "--", "wget", "-qO-", "http://127.0.0.1:8080/index.html")
    equal(page, "version 1\n", f"{handler}: the pod's containers share its network")


def check_port_forward(cluster, handler, port):
    with background(cluster, "port-forward", f"pod/{handler}", f"{port}:8080") as process:
        got = b""

        def ready():
            nonlocal got
            got += read(process)
            return b"Forwarding from" in got
        eventually(ready, 30, 0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=20) as answer:
            equal(answer.read(), b"version 1\n", f"{handler}: page")


def has_statistics(cluster, handler):
    one = summary_of(cluster, handler)
    assert one, f"{handler}: not in the summary yet"
    web = next((c for c in one["containers"] if c["name"] == "web"), None)
    assert web and web["cpu"].get("usageCoreNanoSeconds", 0) > 0 and web["memory"]["workingSetBytes"] > 0, (handler, web)
    assert web["rootfs"]["usedBytes"] >= 3 << 20, (handler, web)
    assert one["cpu"]["usageCoreNanoSeconds"] > 0 and one.get("network", {}).get("name") == "eth0", (handler, one)
    return True
