# SPDX-License-Identifier: Apache-2.0
"""CRI calls from one client process (cri_calls) that stays: a few milliseconds each, from any thread."""
import itertools
import json
import queue
import subprocess
import threading

from . import tools


class CallFailed(AssertionError):
    def __init__(self, method, code, message):
        super().__init__(f"{method}: {code}: {message}")
        self.code, self.message = code, message


class Calls:
    def __init__(self, socket):
        self._process = subprocess.Popen([tools.go_program("cri_calls"), socket.removeprefix("unix://")],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._waiting, self._lock, self._numbers = {}, threading.Lock(), itertools.count(1)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._lock:
                waiting = self._waiting.pop(answer["id"])
            waiting.put(answer)

    def ask(self, method, request=None, seconds=20):
        """(code, message, response) whatever they are."""
        number, answers = next(self._numbers), queue.Queue()
        line = json.dumps({"id": number, "method": method, "request": request or {}, "seconds": seconds}) + "\n"
        with self._lock:
            self._waiting[number] = answers
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        answer = answers.get(timeout=seconds + 10)
        if answer["code"] == "BadRequest":
            raise RuntimeError(f"{method}: {answer['message']}")
        return answer["code"], answer["message"], answer["response"]

    def __call__(self, method, request=None, seconds=20):
        code, message, response = self.ask(method, request, seconds)
        if code != "OK":
            raise CallFailed(method, code, message)
        return response

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
