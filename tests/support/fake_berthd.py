# SPDX-License-Identifier: Apache-2.0
"""berthd's and the monitor's ends of berth-stream's sockets (src/api/stream/protocol.h), for tests of berth-stream alone:
a session is a dict that says what to run. Tokens are handed out by `token(kind, **session)`."""
import array
import fcntl
import os
import pty
import secrets
import socket
import struct
import subprocess
import termios
import threading

READY, REDEEM, BEGIN, ABANDON, TLS, REPLY = 1, 2, 3, 4, 10, 100
EXEC, ATTACH, FORWARD = 0, 1, 2
INTERNAL, NOT_FOUND = 13, 5


class Daemon:
    def __init__(self, program, *arguments, tls=None):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.tls = tls
        self.sessions, self.begun, self.abandoned, self.notices, self.processes = {}, {}, [], [], []
        self.next_session = 1
        command = [program, "--uid=65534", "--gid=65534", *arguments] + (["--tls"] if tls else [])

        def give():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)
        self.process = subprocess.Popen(command, preexec_fn=give, pass_fds=[3, theirs.fileno()], close_fds=True)
        theirs.close()
        if tls:
            self.send_tls(tls)
        kind, _, body, _ = self._receive()
        assert kind == READY, (kind, body)
        self.port, self.is_tls = struct.unpack("<IB", body)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def send_tls(self, paths):
        files = [os.open(path, os.O_RDONLY) for path in paths]
        self._send(struct.pack("<IQ", TLS, 0), files)

    def token(self, kind, **session):
        token = secrets.token_hex(16)
        self.sessions[token] = dict(session, kind=kind)
        return token

    def url(self, kind, **session):
        name = {EXEC: "exec", ATTACH: "attach", FORWARD: "portforward"}[kind]
        scheme = "https" if self.is_tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}/{name}/{self.token(kind, **session)}"

    def close(self):
        """berthd goes away; berth-stream ends with its last session."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()

    def _receive(self):
        data, ancillary, _, _ = self.socket.recvmsg(16384, socket.CMSG_SPACE(16))
        fds = array.array("i")
        for _, _, payload in ancillary:
            fds.frombytes(payload)
        if not data:
            return None, 0, b"", []
        kind, number = struct.unpack("<IQ", data[:12])
        return kind, number, data[12:], list(fds)

    def _send(self, data, fds=()):
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], extra)
        for fd in fds:
            os.close(fd)

    def _reply(self, number, body=b"", fds=(), code=0, message=b""):
        self._send(struct.pack("<IQII", REPLY, number, code, len(message)) + message + body, fds)

    def _serve(self):
        while True:
            kind, number, body, _ = self._receive()
            if kind is None:
                return
            if kind == REPLY and number == 0:
                self.notices.append(body)
            elif kind == REDEEM:
                self._redeem(number, body)
            elif kind == BEGIN:
                self._begin(number, struct.unpack("<Q", body)[0])
            elif kind == ABANDON:
                self.abandoned.append(struct.unpack("<Q", body)[0])
                self._reply(number)

    def _redeem(self, number, body):
        wanted, token = body[0], body[5:].decode()
        session = self.sessions.pop(token, None)
        if session is None or session["kind"] != wanted:
            self._reply(number, code=NOT_FOUND, message=b"no such token, or it was used")
            return
        self.begun[self.next_session] = session
        flags = [session.get(name, default) for name, default in
                 (("stdin", False), ("stdout", True), ("stderr", not session.get("tty")), ("tty", False))]
        ports = session.get("ports", [])
        self._reply(number, struct.pack("<Q4BI", self.next_session, *flags, len(ports)) +
                    b"".join(struct.pack("<I", port) for port in ports))
        self.next_session += 1

    def _begin(self, number, session):
        session = self.begun.pop(session)
        if "error" in session:
            self._reply(number, code=INTERNAL, message=session["error"].encode())
        elif session["kind"] == FORWARD:
            self._begin_forward(number)
        else:
            self._begin_process(number, session)

    def _begin_process(self, number, session):
        result, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if session.get("tty"):
            master, slave = pty.openpty()

            def take():
                os.setsid()
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            process = subprocess.Popen(session["command"], stdin=slave, stdout=slave, stderr=slave, preexec_fn=take)
            os.close(slave)
            fds, flags = [master], [0, 0, 0, 1]
        else:
            process = subprocess.Popen(session["command"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
            fds = [os.dup(p.fileno()) for p in (process.stdin, process.stdout, process.stderr)]
            for p in (process.stdin, process.stdout, process.stderr):
                p.close()
            flags = [1, 1, 1, 0]
        self.processes.append(process)
        self._reply(number, struct.pack("<6B", *flags, 1, 0), fds + [theirs.detach()])

        def wait():
            code = process.wait()
            try:
                result.send(struct.pack("<I", code if code >= 0 else 128 - code))
            except OSError:
                pass  # the client is gone, and berth-stream's end with it
            result.close()
        threading.Thread(target=wait, daemon=True).start()

    def _begin_forward(self, number):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._reply(number, struct.pack("<6B", 0, 0, 0, 0, 0, 1), [theirs.detach()])

        def dial():
            while request := mine.recv(16):
                family, = struct.unpack("<I", request)
                made = socket.socket(family, socket.SOCK_STREAM)
                mine.sendmsg([struct.pack("<I", 0)],
                             [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [made.fileno()]))])
                made.close()
            mine.close()
        threading.Thread(target=dial, daemon=True).start()
