# SPDX-License-Identifier: Apache-2.0
"""A disk with a volatile write cache, as NBD server on a Unix socket (the NBD protocol's proto.md: fixed newstyle, READ, WRITE,
FLUSH, FUA). What was written and not flushed is kept in memory; a power cut keeps a random part of it and loses the rest, in
blocks of 4 KiB, as a drive may. A guest that flushes well leaves little time in which there is something to lose: stop_at() waits
for such a moment, and nothing is answered from then on.

  serving --stop_at(): a request that fits, before it is carried out--> stopped --cut()--> serving the next boot"""
import os
import socket
import struct
import threading

BLOCK = 4096
HANDSHAKE, OPTION, REPLY = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
REQUEST, ANSWER = 0x25609513, 0x67446698
EXPORT_NAME, ABORT, GO = 1, 2, 7
ACK, INFO, UNSUPPORTED = 1, 3, 0x80000001
READ, WRITE, DISCONNECT, FLUSH = range(4)
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
FUA = 1


class VolatileDisk:
    def __init__(self, path, socket_path):
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self.file).st_size
        self.cache, self.lock = {}, threading.Lock()  # block number -> bytes not on the disk yet
        self.flushes = 0
        self.armed = None  # kind of request and unflushed blocks at which the disk stops
        self.stopped, self.started = threading.Event(), threading.Event()
        self.started.set()
        self.uri = f"nbd+unix:///?socket={socket_path}"
        if os.path.exists(socket_path):
            os.unlink(socket_path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(socket_path))
        self.listener.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop_at(self, kind, blocks, seconds):
        """The disk stops at the first "write" or "flush" that finds so many blocks unflushed. Whether it has, within that time."""
        with self.lock:
            self.armed = ({"write": WRITE, "flush": FLUSH}[kind], blocks)
        return self.stopped.wait(seconds)

    def cut(self, rng):
        """After the machine has gone: how many blocks were kept and lost of those that nobody had flushed."""
        with self.lock:
            self.armed = None
            self.stopped.clear()
            self.started.set()
            kept = 0
            share = rng.choice((0, rng.random(), rng.random()))
            for number, data in self.cache.items():
                if rng.random() < share:
                    os.pwrite(self.file, data, number * BLOCK)
                    kept += 1
            lost = len(self.cache) - kept
            self.cache.clear()
            return kept, lost

    def close(self):
        self.listener.close()
        self.started.set()
        with self.lock:
            self._flush()
        os.close(self.file)

    # ------------------------------------------------------------------ the disk; the lock is held
    def _flush(self):
        for number, data in self.cache.items():
            os.pwrite(self.file, data, number * BLOCK)
        self.cache.clear()
        self.flushes += 1

    def _block(self, number):
        return self.cache.get(number) or os.pread(self.file, BLOCK, number * BLOCK).ljust(BLOCK, b"\0")

    def _read(self, offset, length):
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        if not any(number in self.cache for number in range(first, last + 1)):
            return os.pread(self.file, length, offset)
        data = b"".join(self._block(number) for number in range(first, last + 1))
        return data[offset - first * BLOCK:][:length]

    def _write(self, offset, data):
        first = offset // BLOCK
        before = offset - first * BLOCK
        if before:
            data = self._block(first)[:before] + data
        if len(data) % BLOCK:
            data += self._block(first + len(data) // BLOCK)[len(data) % BLOCK:]
        for index in range(len(data) // BLOCK):
            self.cache[first + index] = data[index * BLOCK:(index + 1) * BLOCK]
        return range(first, first + len(data) // BLOCK)

    def _stop_if_it_is_time(self, kind):
        with self.lock:
            if self.armed and not self.stopped.is_set() and kind == self.armed[0] and len(self.cache) >= self.armed[1]:
                self.started.clear()
                self.stopped.set()

    # ------------------------------------------------------------------ the protocol
    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                if self._negotiate(connection):
                    while self._one(connection):
                        pass
            except (EOFError, OSError):
                pass  # the machine was switched off

    def _negotiate(self, connection):
        connection.sendall(struct.pack(">QQH", HANDSHAKE, OPTION, 3))
        take(connection, 4)
        while True:
            _, option, length = struct.unpack(">QII", take(connection, 16))
            take(connection, length)
            flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA
            reply = lambda kind, body=b"": connection.sendall(struct.pack(">QIII", REPLY, option, kind, len(body)) + body)
            if option == EXPORT_NAME:
                connection.sendall(struct.pack(">QH", self.size, flags))
                return True
            if option == GO:
                reply(INFO, struct.pack(">HQH", 0, self.size, flags))
                reply(ACK)
                return True
            if option == ABORT:
                reply(ACK)
                return False
            reply(UNSUPPORTED)

    def _one(self, connection):
        magic, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", take(connection, 28))
        assert magic == REQUEST
        data = take(connection, length) if kind == WRITE else b""
        answer = b""
        if kind == DISCONNECT:
            return False
        self._stop_if_it_is_time(kind)
        if self.stopped.is_set():
            self.started.wait()
            return False
        with self.lock:
            if kind == READ:
                answer = self._read(offset, length)
            elif kind == WRITE:
                written = self._write(offset, data)
                if flags & FUA:
                    for number in written:
                        os.pwrite(self.file, self.cache.pop(number), number * BLOCK)
            elif kind == FLUSH:
                self._flush()
        connection.sendall(struct.pack(">IIQ", ANSWER, 0 if kind in (READ, WRITE, FLUSH) else 22, handle) + answer)
        return True


def take(connection, count):
    parts = []
    while count:
        part = connection.recv(count)
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
