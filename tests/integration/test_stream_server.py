# SPDX-License-Identifier: Apache-2.0
"""berth-stream alone, between client-go (tests/support/streamclient) and a berthd that the test plays."""
import concurrent.futures
import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time

from support import fake_berthd, tools
from support.fake_berthd import ATTACH, EXEC, FORWARD
from support.suite import contains, equal, eventually, test

JSON_VERSIONS = ["v4.channel.k8s.io", "v5.channel.k8s.io"]
CARRIERS = [("spdy", f"{v}channel.k8s.io") for v in ("v4.", "v3.", "v2.", "")] + \
           [("websocket", f"{v}channel.k8s.io") for v in ("v5.", "v4.", "v3.", "v2.", "")]
MEGABYTES = os.urandom(10 << 20)


@contextlib.contextmanager
def server(*arguments, **options):
    """At the end: as many fds as at the start, and it ends when berthd does."""
    daemon = fake_berthd.Daemon(str(tools.berth_binary("berth-stream")), *arguments, **options)
    fds = f"/proc/{daemon.process.pid}/fd"
    time.sleep(0.2)  # those of the TLS files are closed just after Ready
    before = len(os.listdir(fds))
    try:
        yield daemon
        eventually(lambda: len(os.listdir(fds)) == before)
        daemon.close()
        equal(daemon.process.wait(10), 0, "exit code of berth-stream")
    finally:
        daemon.process.kill()
        daemon.process.wait()


def client(url, carrier="spdy", protocol=None, *more, stdin=b"", command="exec"):
    command = [tools.go_program("streamclient"), command, "-url", url, "-transport", carrier, *more]
    if protocol:
        command += ["-protocols", protocol]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=150)


def shell(text):
    return ["sh", "-c", text]


@test(seconds=180)
def test_every_protocol_carries_output_errors_and_exit_codes(node):
    with server() as daemon:
        for carrier, protocol in CARRIERS:
            done = client(daemon.url(EXEC, command=shell("echo out; echo err >&2")), carrier, protocol)
            equal((done.returncode, done.stdout, done.stderr), (0, b"out\n", b"err\n"), f"{carrier} {protocol}")
            if protocol == "channel.k8s.io":
                continue  # its client may leave with the end of the output, before it reads the error stream
            done = client(daemon.url(EXEC, command=shell("exit 42")), carrier, protocol)
            if protocol in JSON_VERSIONS:
                equal(done.returncode, 42, f"{carrier} {protocol}")
            else:
                contains(done.stderr.decode(), "command terminated with non-zero exit code: exit status 42")
            done = client(daemon.url(ATTACH, error="container is not running"), carrier, protocol)
            contains(done.stderr.decode(), "Internal error occurred: container is not running")


@test(seconds=180)
def test_a_terminal_has_the_clients_size(node):
    with server() as daemon:
        for carrier, protocol in CARRIERS:
            if protocol in ("channel.k8s.io", "v2.channel.k8s.io"):
                continue
            done = client(daemon.url(EXEC, tty=True, command=shell("sleep 0.5; stty size")), carrier, protocol,
                          "-tty", "-size", "80x24,100x40")
            equal((done.returncode, done.stdout), (0, b"40 100\r\n"), f"{carrier} {protocol}")


@test(seconds=180)
def test_ten_megabytes_go_each_way_and_the_end_of_stdin_arrives(node):
    with server() as daemon:
        for carrier in ("spdy", "websocket"):
            done = client(daemon.url(EXEC, stdin=True, command=["cat"]), carrier, None, "-stdin", stdin=MEGABYTES)
            equal((done.returncode, done.stdout == MEGABYTES, done.stderr), (0, True, b""), carrier)


@test(seconds=180)
def test_fifty_execs_at_once(node):
    with server() as daemon, concurrent.futures.ThreadPoolExecutor(50) as pool:
        def one(number):
            text = f"{number} ".encode() * 20_000
            done = client(daemon.url(EXEC, stdin=True, command=shell(f"cat; exit {number}")),
                          "websocket" if number % 2 else "spdy", None, "-stdin", stdin=text)
            return done.returncode == number and done.stdout == text
        equal([n for n, good in enumerate(pool.map(one, range(50))) if not good], [], "those that went wrong")


class Echo:
    """A server of the pod: sends back what it gets, to the end."""
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self.listener.accept()[:1], daemon=True).start()

    @staticmethod
    def _serve(connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def forwarded(daemon, carrier, port):
    process = subprocess.Popen([tools.go_program("streamclient"), "forward", "-url", daemon.url(FORWARD), "-transport",
                                carrier, "-port", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.stdin.close()
        process.wait(10)


def send_and_get(port, data):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        def write():
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        writer = threading.Thread(target=write)
        writer.start()
        got = bytearray()
        while piece := connection.recv(65536):
            got += piece
        writer.join()
        return bytes(got)


@test(seconds=180)
def test_a_port_is_forwarded_byte_for_byte_and_fifty_at_once(node):
    echo = Echo()
    with server() as daemon:
        for carrier in ("spdy", "websocket"):
            with forwarded(daemon, carrier, echo.port) as (port, _):
                assert send_and_get(port, MEGABYTES) == MEGABYTES, carrier
                with concurrent.futures.ThreadPoolExecutor(50) as pool:
                    pieces = [MEGABYTES[n * 100_000:(n + 1) * 100_000] for n in range(50)]
                    assert list(pool.map(lambda piece: send_and_get(port, piece), pieces)) == pieces, carrier
    echo.listener.close()


@test(seconds=180)
def test_a_closed_port_is_told_to_the_client(node):
    with server() as daemon:
        for carrier in ("spdy", "websocket"):
            with forwarded(daemon, carrier, 1) as (port, process):
                equal(send_and_get(port, b""), b"", carrier)
                contains(process.stderr.read().decode(), "connect to port 1 inside the pod: 127.0.0.1: Connection "
                         "refused, [::1]: Connection refused")


@test(seconds=180)
def test_a_session_goes_on_without_berthd(node):
    daemon = fake_berthd.Daemon(str(tools.berth_binary("berth-stream")))
    process = subprocess.Popen([tools.go_program("streamclient"), "exec", "-stdin", "-url",
                                daemon.url(EXEC, stdin=True, command=["cat"])],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        process.stdin.write(b"before\n")
        equal(process.stdout.readline(), b"before\n", "echo")
        daemon.close()
        process.stdin.write(b"after\n")
        equal(process.stdout.readline(), b"after\n", "echo")
        process.stdin.close()
        equal((process.wait(10), daemon.process.wait(10)), (0, 0), "both end")
    finally:
        for each in (process, daemon.process):
            each.kill()
            each.wait()


def make_certificates(directory):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    with open(f"{directory}/ext", "w") as ext:
        ext.write("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile",
                "ext", "-out", f"{name}.pem")


@test(seconds=180)
def test_tls_asks_for_the_clients_certificate_and_takes_new_files(node):
    with tempfile.TemporaryDirectory() as directory:
        make_certificates(directory)
        path = {name: f"{directory}/{name}" for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")}
        known = ("-ca", path["ca.pem"])
        named = (*known, "-cert", path["client.pem"], "-key", path["client.key"])
        with server(tls=[path["server.pem"], path["server.key"], path["ca.pem"]]) as daemon:
            for carrier in ("spdy", "websocket"):
                done = client(daemon.url(EXEC, stdin=True, command=["cat"]), carrier, None, "-stdin", *named, stdin=MEGABYTES)
                equal((done.returncode, done.stdout == MEGABYTES, done.stderr), (0, True, b""), carrier)
                done = client(daemon.url(EXEC, command=["echo", "in"]), carrier, None, *known)
                # "certificate required", unless the end of the connection overtakes the alert at the client.
                equal((done.returncode, done.stdout), (125, b""), f"{carrier} without a certificate: {done.stderr}")
            daemon.send_tls([path["server.pem"], path["client.key"]])
            eventually(lambda: b"TLS files: key does not belong to the certificate" in b"".join(daemon.notices))
            done = client(daemon.url(EXEC, command=["true"]), "spdy", None, *named)
            equal(done.returncode, 0, "the files before are kept")
            daemon.send_tls([path["server.pem"], path["server.key"]])
            # Without a client CA any client may come.
            eventually(lambda: client(daemon.url(EXEC, command=["true"]), "spdy", None, *known).returncode == 0)
