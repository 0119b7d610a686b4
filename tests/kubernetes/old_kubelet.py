#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A kubelet of Kubernetes 1.22, which speaks nothing but runtime.v1alpha2, alone on Berth with a static pod.   old_kubelet.py

It needs no control plane: pods come from a directory, and its own port answers for logs, exec, port-forward and statistics."""
import json
import pathlib
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, registry, suite, tools
from support.suite import contains, equal, eventually, test
import checks
from cluster import NODE, Cluster
from objects import WEB, container, pod, push_images

KUBELET = "https://127.0.0.1:10250"
POD = f"default/old-{NODE}"
# A kubelet without a control plane cannot have volumes of tokens, nor register its node; neither is the runtime's.
NOT_KNOWN_THEN = ("failCgroupV1", "containerRuntimeEndpoint", "crashLoopBackOff", "featureGates", "logging")


class OldKubelet(Cluster):
    def __init__(self, work):
        super().__init__(work)
        self.programs = tools.old_kubelet()

    def start(self):
        self.authority, (self.certificate, self.key) = registry.make_certificates(self.work / "pki")
        self.start_kubelet()
        self.wait("the kubelet", self.answers)

    def answers(self):
        try:
            return self.ask("/healthz") == "ok"
        except urllib.error.HTTPError as error:  # "runtime network not ready" and the like, for a while
            error.close()
        except OSError:
            pass
        return False

    def kubelet_configuration(self):
        config = {key: value for key, value in super().kubelet_configuration().items() if key not in NOT_KNOWN_THEN}
        return {**config, "cgroupDriver": "cgroupfs", "address": "127.0.0.1", "tlsCertFile": str(self.certificate),
                "tlsPrivateKeyFile": str(self.key)}

    def kubelet_command(self, config):
        return ["--config", config, "--container-runtime=remote", "--container-runtime-endpoint", self.node.socket, "--hostname-override",
                NODE, "--v=2"]

    def ask(self, path, method="GET"):
        context = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(urllib.request.Request(KUBELET + path, method=method), timeout=30, context=context) as answer:
            return answer.read().decode()

    def pod(self):
        found = [one for one in json.loads(self.ask("/pods"))["items"] or [] if one["metadata"]["name"] == f"old-{NODE}"]
        return found[0]["status"] if found else None

    def stream(self, command, path, *options, **more):
        return subprocess.run([tools.go_program("streamclient"), command, "-url", KUBELET + path, "-ca", self.authority, *options],
                              capture_output=True, text=True, timeout=90, **more)

    def log_since(self, mark):
        return self.node.log_since(mark) + "\n--- the kubelet's\n" + "\n".join(self.kubelet_log_of_this_test().splitlines()[-60:])

    def recover(self):
        pass

    def sweep(self):
        for path in self.manifests.iterdir():
            path.unlink()
        eventually(lambda: not self.node.ids("pods"), 180, 1)


def containers(status):
    return {one["name"]: one for one in (status or {}).get("containerStatuses", [])}


@test(seconds=400)
def test_a_kubelet_of_v1alpha2_runs_a_static_pod(old):
    probe = {"exec": {"command": ["sh", "-c", "test -e /keep/up"]}, "periodSeconds": 1, "timeoutSeconds": 10}
    keep = [{"name": "keep", "mountPath": "/keep"}]
    web = container("touch /keep/up; echo to the log; echo to stderr >&2; exec httpd -f -p 8080 -h /www", "web", f"{WEB}:1", readinessProbe=probe,
                    volumeMounts=keep, env=[{"name": "A", "value": "b"}], resources={"limits": {"cpu": "200m", "memory": "64Mi"}})
    again = container("sleep 2; test -e /keep/once && exec sleep 100000; touch /keep/once; exit 3", "again", volumeMounts=keep)
    manifest = old.manifests / "old.json"
    manifest.write_text(json.dumps(pod("old", web, again, volumes=[{"name": "keep", "emptyDir": {}}])))

    def is_up():
        found = containers(old.pod())
        assert found and found["web"]["ready"] and found["again"]["restartCount"] == 1, found
        return "running" in found["again"]["state"]
    eventually(is_up, 120, 1)
    equal(containers(old.pod())["again"]["lastState"]["terminated"]["exitCode"], 3, "exit code of the run before")
    sandboxes = old.node.json("pods", "-o", "json")["items"]
    equal(old.pod()["podIP"], old.node.json("inspectp", sandboxes[0]["id"])["status"]["network"]["ip"], "address")
    equal(sorted(old.ask(f"/containerLogs/{POD}/web").splitlines()), ["to stderr", "to the log"], "log")
    check_exec(old)
    check_statistics(old)
    first = containers(old.pod())["web"]["containerID"]
    manifest.write_text(json.dumps(pod("old", container("echo changed; exec sleep 100000", "web"))))
    eventually(lambda: containers(old.pod()).get("web", {}).get("containerID", first) != first and
               old.ask(f"/containerLogs/{POD}/web") == "changed\n", 120, 1)
    manifest.unlink()
    eventually(lambda: old.pod() is None and not old.node.ids("ps"), 120, 1)


def check_exec(old):
    equal(old.ask(f"/run/{POD}/web?cmd=cat%20/www/index.html", "POST"), "version 1\n", "ExecSync, by /run")
    done = old.stream("exec", f"/exec/{POD}/web?command=sh&command=-c&command=cat%3Becho+$A+%3E%262%3Bexit+7&input=1&output=1&error=1",
                      "-stdin", input="through\n")
    equal((done.returncode, done.stdout, done.stderr), (7, "through\n", "b\n"), "Exec")
    process = subprocess.Popen([tools.go_program("streamclient"), "forward", "-url", f"{KUBELET}/portForward/{POD}", "-ca", old.authority,
                                "-port", "8080"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            equal(answer.read(), b"version 1\n", "PortForward")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        process.stdin.close()


def check_statistics(old):
    def are_told():
        summary = json.loads(old.ask("/stats/summary"))
        one = next((one for one in summary["pods"] if one["podRef"]["name"] == f"old-{NODE}"), None)
        web = next((c for c in (one or {}).get("containers", []) if c["name"] == "web"), None)
        assert web, summary["pods"]
        assert web["cpu"]["usageCoreNanoSeconds"] > 0 and web["memory"]["workingSetBytes"] > 0 and "usedBytes" in web["rootfs"], web
        assert one["network"]["rxBytes"] > 0, one
        return True
    eventually(are_told, 90, 2)
    contains(old.ask("/metrics/cadvisor"), f'namespace="default",pod="old-{NODE}"')


def main():
    work = environment.WORK
    images = registry.Registry(work, environment.STORE / "registry", 5000)
    push_images(images.host)
    old = OldKubelet(work / "cluster")
    old.node.start()
    old.start()
    counter = suite.run_tests(old, checks.after_each, suite.suite_arguments())
    old.close()
    old.node.close()
    images.close()
    return counter.finish()


if __name__ == "__main__":
    tools.crictl()
    tools.go_program("streamclient")
    tools.old_kubelet()
    tools.berth_binary("berthd")
    environment.run_isolated(main, hidden=("/var/lib/kubelet",))
