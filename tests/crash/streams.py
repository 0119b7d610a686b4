# SPDX-License-Identifier: Apache-2.0
"""crictl attach and port-forward for as long as a step takes. While nothing comes something else is asked, whose failure tells at
once that berthd is dead."""
import select
import socket
import subprocess
import time

SECONDS = 20


class Client:
    def __init__(self, node, *arguments):
        self.what = " ".join(arguments)
        self.process = subprocess.Popen(node.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def _again(self, ask):
        """Before each try: ask() fails when berthd is dead."""
        end = time.monotonic() + SECONDS
        while True:
            ask()
            yield
            assert self.process.poll() is None, f"crictl {self.what} ended with {self.process.returncode}"
            assert time.monotonic() < end, f"crictl {self.what}: nothing in {SECONDS} s"

    def until(self, wanted, ask):
        """Until it has written the bytes, which ask() brings about."""
        got = b""
        for _ in self._again(ask):
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                got += self.process.stdout.read1(65536)
            if wanted in got:
                return

    def until_connected(self, port, wanted, ask):
        """Until a connection to the local port gives the bytes."""
        for _ in self._again(ask):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
                    if connection.recv(len(wanted)) == wanted:
                        return
            except OSError:  # it does not listen yet
                pass
            time.sleep(0.05)
