# SPDX-License-Identifier: Apache-2.0
"""What kubectl streams: logs, exec, cp, attach, port-forward, debug."""
import contextlib
import os
import pty
import re
import signal
import subprocess
import urllib.request

from objects import BUSYBOX, WEB, container, pod, status_of
from support.suite import contains, equal, eventually, test


@contextlib.contextmanager
def background(cluster, *arguments, **options):
    """A kubectl that goes on; what it writes to standard output is read from its pipe."""
    process = subprocess.Popen(cluster.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                               **{"stdin": subprocess.DEVNULL, **options})
    os.set_blocking(process.stdout.fileno(), False)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


class Terminal:
    """kubectl at a terminal of its own."""

    def __init__(self, cluster, *arguments):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(cluster.command(*arguments), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        env={**os.environ, "TERM": "xterm"})
        os.close(slave)
        os.set_blocking(self.master, False)
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)

    def read(self):
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self.master, 65536):
                self.text += data.decode(errors="replace")
        return self.text

    def expect(self, pattern, seconds=30):
        return eventually(lambda: re.search(pattern, self.read()), seconds, 0.1)

    def type(self, text):
        os.write(self.master, text.encode())


def read(process):
    with contextlib.suppress(BlockingIOError):
        return process.stdout.read() or b""
    return b""


@test(seconds=120)
def test_logs_follow_and_previous(cluster):
    script = 'n=$(cat /keep/n 2>/dev/null || echo 0); echo $((n+1)) >/keep/n; i=0; while [ $i -lt 3 ]; do echo "run $n line $i"; ' \
             'i=$((i+1)); sleep 0.3; done; [ $n = 0 ] && exit 6; echo "to stderr" >&2; trap "exit 0" TERM; while :; do sleep 0.2; done'
    cluster.apply(pod("talker", container(script, volumeMounts=[{"name": "keep", "mountPath": "/keep"}]),
                      volumes=[{"name": "keep", "emptyDir": {}}]))
    eventually(lambda: status_of(cluster.pod_status("talker"), "main")["restartCount"] == 1, 60, 0.3)
    equal(cluster.out("logs", "--previous", "talker"), "".join(f"run 0 line {i}\n" for i in range(3)), "the log before the restart")
    with background(cluster, "logs", "-f", "talker") as process:
        got = b""

        def arrived():
            nonlocal got
            got += read(process)
            return b"to stderr" in got
        eventually(arrived, 30, 0.1)
    equal(got.decode(), "run 1 line 0\nrun 1 line 1\nrun 1 line 2\nto stderr\n", "the log that was followed")
    equal(cluster.out("logs", "talker", "--tail=1"), "to stderr\n", "--tail")
    stamps = cluster.out("logs", "talker", "--timestamps").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z run|.*to stderr", line) for line in stamps), stamps


@test(seconds=120)
def test_exec_with_and_without_a_terminal(cluster):
    cluster.apply(pod("target", container()))
    cluster.wait_pod("target")
    done = cluster.kubectl("exec", "-i", "target", "--", "sh", "-c", "cat; echo wrong >&2; exit 7", stdin="through\n", check=False)
    equal((done.returncode, done.stdout), (7, "through\n"), "exec")
    contains(done.stderr, "wrong", "exit code 7")
    with Terminal(cluster, "exec", "-it", "target", "--", "sh") as terminal:
        terminal.expect(r"[#$] ")
        terminal.type("tty; stty size; echo $((6*7))\n")
        terminal.expect(r"/dev/pts/\d+")
        terminal.expect(r"\n42\r")
        terminal.type("exit 5\n")
        eventually(lambda: terminal.read() and False or terminal.process.poll() is not None, 30)
        contains(terminal.read(), "exit code 5")
    large = cluster.out("exec", "target", "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
    equal(len(large), 3000000, "bytes")


@test(seconds=120)
def test_cp_in_and_out(cluster):
    cluster.apply(pod("files", container()))
    cluster.wait_pod("files")
    source = cluster.work / "to-copy"
    (source / "inner").mkdir(parents=True, exist_ok=True)
    data = os.urandom(2_000_000)
    (source / "inner" / "data").write_bytes(data)
    (source / "script").write_text("#!/bin/sh\n")
    (source / "script").chmod(0o755)
    cluster.kubectl("cp", source, "files:/tmp/copied")
    equal(cluster.out("exec", "files", "--", "stat", "-c", "%a", "/tmp/copied/script"), "755\n", "mode")
    back = cluster.work / "copied-back"
    cluster.kubectl("cp", "files:/tmp/copied", back)
    equal((back / "inner" / "data").read_bytes() == data, True, "the file's bytes are the same")


@test(seconds=120)
def test_attach(cluster):
    cluster.apply(pod("attached", container("while read -r line; do echo \"got $line\"; [ \"$line\" = end ] && exit 3; done", stdin=True,
                                            stdinOnce=True), restartPolicy="Never"))
    cluster.wait_pod("attached")
    done = cluster.kubectl("attach", "-i", "attached", stdin="one\nend\n", check=False)
    contains(done.stdout, "got one", "got end")
    cluster.wait_phase("attached", "Failed")
    equal(status_of(cluster.pod_status("attached"), "main")["state"]["terminated"]["exitCode"], 3, "exit code")
    equal(cluster.out("logs", "attached"), "got one\ngot end\n", "log")
    with Terminal(cluster, "run", "shell", "-it", f"--image={BUSYBOX}", "--restart=Never", "--", "sh", "-c",
                  "echo begin; read -r x; echo \"<$x>\"; sleep 1") as terminal:
        terminal.expect("begin|press enter", 40)
        terminal.type("typed\n")
        terminal.expect("<typed>")


@test(seconds=120)
def test_port_forward(cluster):
    cluster.apply(pod("web", container(None, image=f"{WEB}:1")))
    cluster.wait_pod("web")
    with background(cluster, "port-forward", "pod/web", "18080:8080") as process:
        got = b""

        def ready():
            nonlocal got
            got += read(process)
            return b"Forwarding from" in got
        eventually(ready, 30, 0.1)
        for _ in range(5):
            with urllib.request.urlopen("http://127.0.0.1:18080/index.html", timeout=20) as answer:
                equal(answer.read(), b"version 1\n", "page")
    with background(cluster, "port-forward", "pod/web", "18081:9") as process:
        eventually(lambda: b"Forwarding from" in read(process), 30, 0.1)
        try:
            urllib.request.urlopen("http://127.0.0.1:18081/", timeout=20)
            raise AssertionError("nothing listens there, and still there was an answer")
        except OSError:
            pass
        said = b""

        def refused():
            nonlocal said
            said += read(process)
            return b"onnection refused" in said
        eventually(refused, 20, 0.1)
    cluster.expect("onnection refused")


@test(seconds=120)
def test_an_ephemeral_container_debugs_another(cluster):
    cluster.apply(pod("sick", container("echo secret >/tmp/inside; " + "trap 'exit 0' TERM; while :; do sleep 0.2; done")))
    cluster.wait_pod("sick")
    cluster.kubectl("debug", "sick", f"--image={BUSYBOX}", "--target=main", "-c", "doctor", "--profile=general", "--", "sh", "-c",
                    "ls -d /proc/[0-9]*; cat /proc/1/root/tmp/inside; sleep 60")

    def is_seen():
        text = cluster.out("logs", "sick", "-c", "doctor", check=False)
        return "secret" in text and "/proc/1\n" in text
    eventually(is_seen, 60, 0.5)
    state = status_of(cluster.pod_status("sick"), "doctor", "ephemeralContainerStatuses")["state"]
    contains(str(state), "running")
    equal(status_of(cluster.pod_status("sick"), "main")["restartCount"], 0, "restarts of the one that is debugged")
