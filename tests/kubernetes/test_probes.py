# SPDX-License-Identifier: Apache-2.0
"""Liveness, readiness and startup probes: exec, http and tcp."""
from objects import WEB, container, pod, status_of
from support.suite import contains, equal, eventually, test

KINDS = {"exec": {"exec": {"command": ["test", "-e", "/www/index.html"]}},
         "http": {"httpGet": {"path": "/index.html", "port": 8080}},
         "tcp": {"tcpSocket": {"port": 8080}}}
FAILS = {"exec": {"exec": {"command": ["sh", "-c", "echo this is why; exit 9"]}},
         "http": {"httpGet": {"path": "/no-such-page", "port": 8080}},
         "tcp": {"tcpSocket": {"port": 8081}}}
SERVE = "httpd -f -p 8080 -h /www & trap 'exit 0' TERM; wait"


def probe(kinds, kind, **fields):
    return {**kinds[kind], "periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 10, **fields}


def restarts(cluster, name):
    return status_of(cluster.pod_status(name), "main")["restartCount"]


@test(seconds=180)
def test_liveness_probes_restart_what_fails_them(cluster):
    pods = []
    for kind in KINDS:
        pods.append(pod(f"good-{kind}", container(SERVE, image=f"{WEB}:1", livenessProbe=probe(KINDS, kind, initialDelaySeconds=1))))
        pods.append(pod(f"bad-{kind}", container(SERVE, image=f"{WEB}:1", livenessProbe=probe(FAILS, kind, initialDelaySeconds=1))))
    cluster.apply(*pods)
    for kind, why in (("exec", "this is why"), ("http", "404"), ("tcp", "8081")):
        eventually(lambda kind=kind: restarts(cluster, f"bad-{kind}") >= 1, 60, 0.5)
        said = [message for reason, message in cluster.events(f"bad-{kind}") if reason == "Unhealthy"]
        contains(str(said), "Liveness probe failed", why)
    for kind in KINDS:
        equal(restarts(cluster, f"good-{kind}"), 0, f"restarts of good-{kind}")
        cluster.wait_pod(f"good-{kind}")


@test(seconds=180)
def test_readiness_probes_say_who_is_ready(cluster):
    cluster.apply(*[pod(f"ready-{kind}", container(SERVE, image=f"{WEB}:1", readinessProbe=probe(KINDS, kind))) for kind in KINDS])
    for kind in KINDS:
        cluster.wait_pod(f"ready-{kind}")
    for kind, end in (("exec", "mv /www/index.html /www/away"), ("http", "mv /www/index.html /www/away"), ("tcp", "killall httpd; true")):
        cluster.kubectl("exec", f"ready-{kind}", "--", "sh", "-c", end, check=kind != "tcp")
    for kind in ("exec", "http"):
        cluster.wait_pod(f"ready-{kind}", "jsonpath={.status.conditions[?(@.type=='Ready')].status}=False")
        equal(restarts(cluster, f"ready-{kind}"), 0, f"restarts of ready-{kind}")
        cluster.kubectl("exec", f"ready-{kind}", "--", "mv", "/www/away", "/www/index.html")
        cluster.wait_pod(f"ready-{kind}")


@test(seconds=180)
def test_startup_probes_keep_liveness_waiting(cluster):
    late = {kind: container("sleep 4; touch /started; " + SERVE, image=f"{WEB}:1", livenessProbe=probe(KINDS, kind, failureThreshold=1),
                            startupProbe=probe(KINDS if kind != "exec" else
                                               {"exec": {"exec": {"command": ["test", "-e", "/started"]}}}, kind, failureThreshold=60))
            for kind in KINDS}
    cluster.apply(*[pod(f"late-{kind}", one) for kind, one in late.items()],
                  pod("never-up", container(startupProbe=probe(FAILS, "exec"))))
    for kind in KINDS:
        cluster.wait_pod(f"late-{kind}")
        equal(restarts(cluster, f"late-{kind}"), 0, f"restarts of late-{kind}")
    eventually(lambda: restarts(cluster, "never-up") >= 1, 60, 0.5)
    contains(str(cluster.events("never-up")), "Startup probe failed", "this is why")
