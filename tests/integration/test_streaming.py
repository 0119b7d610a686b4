# SPDX-License-Identifier: Apache-2.0
"""Exec, attach and port-forward by crictl: over SPDY and WebSocket, with terminals, while berthd dies, without leftovers."""
import contextlib
import hashlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time

from support import tools
from support.node import NODE, SLEEP
from support.suite import contains, equal, eventually, free_port, test

TRANSPORTS = ("spdy", "websocket")
ECHO = ["sh", "-c", "while read x; do echo got $x; done; echo end of input; exit 8"]
# nc of busybox: one child a connection, which sends back what it gets.
SERVER = ["nc", "-ll", "-p", "7000", "-e", "cat"]
MEGABYTES = 10
# The backlog of busybox's nc is too short for many connections at once.
MANY = """
import socket, threading
def serve(c):
    while data := c.recv(65536):
        c.sendall(data)
    c.close()
listener = socket.create_server(("127.0.0.1", 7002), backlog=128)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command, rows=24, columns=80):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(self.master, (rows, columns))
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: _control(slave))
        os.close(slave)
        self.seen = ""

    def send(self, text):
        os.write(self.master, text.encode())

    def resize(self, rows, columns):
        termios.tcsetwinsize(self.master, (rows, columns))
        self.process.send_signal(signal.SIGWINCH)

    def expect(self, pattern, seconds=20):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, f"no {pattern!r} on the terminal: {self.seen!r}"
            try:
                self.seen += os.read(self.master, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"the terminal ended without {pattern!r}: {self.seen!r}")
        self.seen = self.seen[re.search(pattern, self.seen).end():]

    def wait(self, seconds=20):
        try:
            while select.select([self.master], [], [], seconds)[0] and os.read(self.master, 4096):
                pass
        except OSError:
            pass
        code = self.process.wait(seconds)
        os.close(self.master)
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def _control(slave):
    import fcntl
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def start(node, *arguments, **options):
    return subprocess.Popen(node.command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **options)


class Forward:
    """crictl port-forward as a context manager; `port` is the local one."""

    def __init__(self, node, pod, remote, transport="spdy"):
        self.port = free_port()
        self.process = start(node, "port-forward", "-r", transport, pod, f"{self.port}:{remote}")

    def __enter__(self):
        eventually(self._listens, seconds=20)
        return self

    def _listens(self):
        assert self.process.poll() is None, self.process.communicate()
        with socket.socket() as probe:
            probe.settimeout(1)
            # Only whether somebody listens: a connection would be forwarded.
            try:
                probe.bind(("127.0.0.1", self.port))
                return False
            except OSError:
                return True

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def send_back(connection, data):
    """Sends data, reads as many bytes back."""
    def send():
        connection.sendall(data)
    sender = threading.Thread(target=send)
    sender.start()
    got = bytearray()
    while len(got) < len(data):
        piece = connection.recv(1 << 20)
        if not piece:
            break
        got += piece
    sender.join(30)
    return bytes(got)


@contextlib.contextmanager
def server_in(pod):
    """MANY in the pod's network namespace, but not in the pod."""
    name, = (name for name in os.listdir("/run/netns") if name.endswith(pod.id))
    server = subprocess.Popen(["nsenter", f"--net=/run/netns/{name}", sys.executable, "-c", MANY])
    try:
        time.sleep(1)
        yield
    finally:
        server.kill()
        server.wait()


def descriptors(node):
    """Open files of every Berth process that is not a short-lived one."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            name = open(f"/proc/{entry}/comm").read().strip()
            if name in ("berthd", "berth-monitor", "berth-stream"):
                found[f"{name} {entry}"] = len(os.listdir(f"/proc/{entry}/fd"))
        except OSError:
            continue
    return found


@test
def test_exec_gives_output_errors_and_the_exit_code(node):
    with node.pod() as pod:
        container = pod.run()
        for transport in TRANSPORTS:
            done = node.crictl("exec", "-r", transport, container.id, "sh", "-c", "echo out; echo err >&2; exit 9", check=False)
            contains(done.out, "out\n")
            contains(done.err, "err\n")
            contains(done.err, "exit code 9")
            equal(node.crictl("exec", "-r", transport, container.id, "echo", "fine").out, "fine\n", "output")


@test
def test_exec_of_a_missing_command_is_an_error_on_the_stream(node):
    with node.pod() as pod:
        container = pod.run()
        for transport in TRANSPORTS:
            done = node.crictl("exec", "-r", transport, container.id, "/no/such/program", check=False)
            assert done.code != 0
            contains(done.err, "/no/such/program")


@test(seconds=120)
def test_exec_carries_ten_megabytes_each_way(node):
    data = os.urandom(1 << 20) * MEGABYTES
    with node.pod() as pod:
        container = pod.run()
        for transport in TRANSPORTS:
            out, err = start(node, "exec", "-i", "-r", transport, container.id, "cat").communicate(data, timeout=50)
            assert out == data, f"{len(out)} bytes came back over {transport}: {err[-300:]}"


@test
def test_exec_on_a_terminal(node):
    with node.pod() as pod:
        container = pod.run()
        for transport in TRANSPORTS:
            terminal = Terminal(node.command("exec", "-it", "-r", transport, container.id, "sh"), rows=31, columns=97)
            terminal.send("stty size; echo $((40+2)) $TERM\n")
            terminal.expect(r"31 97")
            terminal.expect(r"42 xterm")
            terminal.resize(20, 50)
            time.sleep(0.3)
            terminal.send("stty size\n")
            terminal.expect(r"20 50")
            terminal.send("exit 5\n")
            terminal.expect("exit code 5")
            assert terminal.wait() != 0


@test
def test_a_client_that_vanishes_hangs_its_terminal_up(node):
    with node.pod() as pod:
        container = pod.run()
        terminal = Terminal(node.command("exec", "-it", container.id, "sh", "-c", "echo ready; exec sleep 4243"))
        terminal.expect("ready")
        contains(container.sh("ps"), "sleep 4243")
        terminal.kill()
        eventually(lambda: "sleep 4243" not in container.sh("ps"), seconds=10)


@test
def test_attach_gives_output_and_the_first_stdin_is_for_one(node):
    with node.pod() as pod:
        for number, transport in enumerate(TRANSPORTS):
            container = pod.run(ECHO, name=f"once{number}", stdin=True, stdin_once=True)
            client = start(node, "attach", "-i", "-r", transport, container.id)
            client.stdin.write(b"hello\n")
            client.stdin.flush()
            eventually(lambda: "got hello" in container.log(), seconds=20)
            out, err = client.communicate(timeout=30)  # closes its stdin
            contains(out.decode(), "got hello\nend of input\n")
            equal(container.wait_exit()["exitCode"], 8, f"exit code, {err}")


@test
def test_attach_leaves_stdin_open_for_the_next(node):
    with node.pod() as pod:
        container = pod.run(ECHO, stdin=True)
        for name in ("first", "second"):
            client = start(node, "attach", "-i", container.id)
            client.stdin.write(f"{name}\n".encode())
            client.stdin.flush()
            eventually(lambda: f"got {name}" in container.log(), seconds=20)
            client.kill()
            client.communicate()
        equal(container.state(), "RUNNING", "state")


@test
def test_attach_to_a_terminal(node):
    with node.pod() as pod:
        container = pod.run(["sh"], tty=True, stdin=True)
        terminal = Terminal(node.command("attach", "-it", container.id), rows=33, columns=99)
        time.sleep(0.5)
        terminal.send("echo $((41+1)); stty size\n")
        terminal.expect("42")
        terminal.expect("33 99")
        terminal.send("exit 4\n")
        terminal.wait()
        equal(container.wait_exit()["exitCode"], 4, "exit code")
        contains(container.log(), "33 99")


@test(seconds=120)
def test_port_forward_carries_ten_megabytes_each_way(node):
    data = os.urandom(1 << 20) * MEGABYTES
    with node.pod() as pod:
        pod.run(SERVER)
        for transport in TRANSPORTS:
            with Forward(node, pod.id, 7000, transport) as forward, forward.connect() as connection:
                got = send_back(connection, data)
                equal((len(got), hashlib.sha256(got).hexdigest()), (len(data), hashlib.sha256(data).hexdigest()), transport)


@test(seconds=120)
def test_fifty_connections_at_once(node):
    with node.pod() as pod, server_in(pod):
        for transport in TRANSPORTS:
            with Forward(node, pod.id, 7002, transport) as forward:
                connections = [forward.connect() for _ in range(50)]
                results = {}

                def work(number):
                    text = f"number {number} ".encode() * 2000
                    results[number] = send_back(connections[number], text) == text

                threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(60)
                equal(results, {number: True for number in range(50)}, transport)
                for connection in connections:
                    connection.close()


@test
def test_port_forward_to_a_closed_port_says_so(node):
    with node.pod() as pod:
        pod.run(SERVER)
        for transport in TRANSPORTS:
            with Forward(node, pod.id, 7001, transport) as forward:
                with forward.connect() as connection:
                    equal(connection.recv(100), b"", "a closed port")
                # crictl gives up at the first error.
                contains(forward.process.communicate(timeout=20)[1].decode(), "onnection refused")
        with Forward(node, pod.id, 7000) as forward, forward.connect() as connection:
            equal(send_back(connection, b"works"), b"works", "an open one")


@test
def test_port_forward_to_a_pod_on_the_nodes_network(node):
    with node.pod(namespaces={"network": NODE}) as pod:
        pod.run(["nc", "-ll", "-p", "7099", "-e", "cat"])
        with Forward(node, pod.id, 7099) as forward, forward.connect() as connection:
            equal(send_back(connection, b"host"), b"host", "echo")


@test(seconds=120)
def test_sessions_go_on_when_the_daemon_is_killed(node):
    with node.pod() as pod:
        container = pod.run()
        pod.run(SERVER, name="server")
        session = start(node, "exec", "-i", container.id, "sh", "-c", "while read x; do echo got $x; done; exit 6")
        session.stdin.write(b"one\n")
        session.stdin.flush()
        equal(session.stdout.readline(), b"got one\n", "before")
        terminal = Terminal(node.command("exec", "-it", container.id, "sh"))
        terminal.send("echo $((1+1))\n")
        terminal.expect("2")
        with Forward(node, pod.id, 7000) as forward, forward.connect() as connection:
            equal(send_back(connection, b"before"), b"before", "port-forward")
            node.kill()
            for text in (b"while it is away", b"again"):
                session.stdin.write(text + b"\n")
                session.stdin.flush()
                equal(session.stdout.readline(), b"got " + text + b"\n", "exec without the daemon")
                equal(send_back(connection, text), text, "port-forward without the daemon")
            with forward.connect() as second:  # needs the pod's network, and the monitor gives it
                equal(send_back(second, b"new"), b"new", "new connection without the daemon")
            terminal.send("echo $((3*7))\n")
            terminal.expect("21")
            node.start()
            equal(send_back(connection, b"after"), b"after", "port-forward after its start")
            session.stdin.write(b"two\n")
            session.stdin.flush()
            equal(session.stdout.readline(), b"got two\n", "exec after its start")
            # Beside the old sessions new ones work.
            equal(node.crictl("exec", container.id, "echo", "new").out, "new\n", "a new exec")
        terminal.send("exit 3\n")
        terminal.expect("exit code 3")
        terminal.wait()
        out, err = session.communicate(timeout=20)
        contains(err.decode(), "exit code 6")


@test
def test_what_has_no_meaning_is_refused(node):
    with node.pod() as pod:
        container = pod.run()
        node.refused("exec", "0" * 64, "true", code="NotFound")
        node.refused("attach", "0" * 64, code="NotFound")
        node.refused("port-forward", "0" * 64, "80", code="NotFound")
        node.crictl("stop", "-t", "0", container.id)
        node.refused("exec", container.id, "true", code="FailedPrecondition", parts="is not running")
        node.crictl("stopp", pod.id)
        node.refused("port-forward", pod.id, "7000:80", code="FailedPrecondition", parts="is not ready")


@test
def test_a_streaming_server_that_dies_is_started_again(node):
    with node.pod() as pod:
        container = pod.run()
        equal(node.crictl("exec", container.id, "echo", "one").out, "one\n", "before")
        server = [int(key.split()[1]) for key in descriptors(node) if key.startswith("berth-stream")]
        equal(len(server), 1, "berth-stream processes")
        os.kill(server[0], signal.SIGKILL)

        def works():
            return node.crictl("exec", container.id, "echo", "two", check=False).out == "two\n"
        eventually(works, seconds=10)


def peak(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) >> 10
    raise AssertionError(f"no VmHWM of {pid}")


def reset_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


@test(seconds=90)
def test_execsync_that_prints_without_end_takes_little_memory(node):
    with node.pod() as pod:
        container = pod.run()
        container.sh("true")
        processes = {key: int(key.split()[1]) for key in descriptors(node)}
        for pid in processes.values():
            reset_peak(pid)
        before = {key: peak(pid) for key, pid in processes.items()}
        done = container.exec("sh", "-c", "yes out & exec yes error >&2", check=False, timeout=5)
        contains(done.err, "DeadlineExceeded")
        grown = {key: peak(pid) - before[key] for key, pid in processes.items()}
        assert all(value < 64 for value in grown.values()), f"MiB: {grown}"
        # One that ends has its output cut, and the answer fits the client's limit.
        script = "head -c 30000000 /dev/zero | tr '\\0' x; head -c 30000000 /dev/zero | tr '\\0' y >&2"
        done = node.berth("exec", container.id, "--", "sh", "-c", script)
        assert len(done.out) + len(done.err) <= 16 << 20, (len(done.out), len(done.err))
        assert min(len(done.out), len(done.err)) >= (8 << 20) - 1024, (len(done.out), len(done.err))
        grown = {key: peak(pid) - before[key] for key, pid in processes.items()}
        print("       MiB grown:", grown, flush=True)
        assert all(value < 64 for value in grown.values()), f"MiB: {grown}"


def resources(node):
    """Threads, open files and KiB of memory of every Berth process."""
    found = {}
    for key, files in descriptors(node).items():
        status = dict(line.split(":", 1) for line in open(f"/proc/{key.split()[1]}/status"))
        found[key] = {"threads": int(status["Threads"]), "files": files, "KiB": int(status["VmRSS"].split()[0])}
    return found


ROUNDS = int(os.environ.get("BERTH_ROUNDS", "100"))
PRINTER = ["sh", "-c", "while :; do echo a line of some length that is printed while nobody reads it; usleep 20000; done"]


@test(seconds=120 + ROUNDS)
def test_rounds_of_sessions_that_are_left_leave_nothing(node):
    with node.pod() as pod:
        silent, printer = pod.run(SLEEP), pod.run(PRINTER, name="printer")
        cases = [("exec", silent.id), ("attach", silent.id), ("attach", printer.id), ("forward", pod.id, 7001)]

        def rounds(kind, identifier, *port, count):
            done = subprocess.run([tools.berth_binary("berth-rounds"), node.socket, kind, identifier, str(count), *map(str, port)],
                                  capture_output=True, text=True)
            equal((done.returncode, done.stderr), (0, ""), kind)

        for case in cases:  # threads and buffers that are kept once are no leak
            rounds(*case, count=40)
        time.sleep(1)
        before = resources(node)
        for case in cases:
            rounds(*case, count=ROUNDS)

        def as_before():
            now = resources(node)
            return now.keys() == before.keys() and all(
                now[key]["files"] <= before[key]["files"] and now[key]["threads"] <= before[key]["threads"] + 2
                and now[key]["KiB"] <= before[key]["KiB"] + 4096 for key in now)
        try:
            eventually(as_before, seconds=60)  # threads of pools end after 30 s without work
        finally:
            print(f"       {ROUNDS} rounds of each; before: {before}\n       after:  {resources(node)}", flush=True)
        # The containers have noticed nothing.
        equal((silent.state(), printer.state()), ("RUNNING", "RUNNING"), "states")
        equal([line for line in silent.sh("ps").splitlines() if "sleep 0.1" in line], [], "processes left in the container")


@test(seconds=90)
def test_exec_over_tls_with_a_client_authority_and_new_files(node):
    """crictl needs a certificate of the client authority; files that change are taken without a restart."""
    from support.registry import make_certificates
    ours, (certificate, key) = make_certificates(node.work / "tls")
    _, (other_certificate, other_key) = make_certificates(node.work / "tls-other")
    old = node.config.read_text()
    node.write_config({"streaming": {"tls_cert": str(certificate), "tls_key": str(key), "tls_client_ca": str(ours)}})
    node.restart()
    try:
        with node.pod() as pod:
            container = pod.run()

            def over_tls(client_certificate, client_key, check=True):
                return node.crictl("exec", "--transport", "websocket", "--tls-ca", ours, "--tls-cert", client_certificate, "--tls-key", client_key,
                                   "--tls-server-name", "localhost", container.id, "echo", "over tls", check=check)

            contains(over_tls(certificate, key).out, "over tls")
            refused = over_tls(other_certificate, other_key, check=False)
            assert refused.code != 0 and "over tls" not in refused.out, refused.text
            plain = node.crictl("exec", "--transport", "websocket", container.id, "true", check=False)
            assert plain.code != 0, plain.text
            # The other authority's files take the place of ours.
            for name in ("server.crt", "server.key", "ca.crt"):
                (node.work / "tls" / f"{name}.new").write_bytes((node.work / "tls-other" / name).read_bytes())
                os.rename(node.work / "tls" / f"{name}.new", node.work / "tls" / name)
            node.daemon.send_signal(signal.SIGHUP)
            eventually(lambda: over_tls(other_certificate, other_key, check=False).out == "over tls\n")
    finally:
        node.config.write_text(old)
        node.restart()
