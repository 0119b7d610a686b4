# SPDX-License-Identifier: Apache-2.0
"""Inside the virtual machine: runs the commands that come in on the virtio-serial port "berth", any number at a time.
Lines of JSON:  {"id", "argv"}  ->  {"id", "out"} ... {"id", "code"};  first of all {"boot"}."""
import json
import os
import pathlib
import subprocess
import threading
import time


def port():
    while True:
        for name in pathlib.Path("/sys/class/virtio-ports").glob("*/name"):
            if name.read_text().strip() == "berth" and os.path.exists(f"/dev/{name.parent.name}"):
                return os.open(f"/dev/{name.parent.name}", os.O_RDWR | os.O_CLOEXEC)
        time.sleep(0.1)


def main():
    device, lock = port(), threading.Lock()

    def send(value):
        data = json.dumps(value).encode() + b"\n"
        with lock:
            while data:
                data = data[os.write(device, data):]

    def run(number, argv):
        try:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       start_new_session=True)
        except OSError as error:
            send({"id": number, "out": f"{argv[0]}: {error}\n"})
            send({"id": number, "code": 127})
            return
        while data := os.read(process.stdout.fileno(), 65536):
            send({"id": number, "out": data.decode(errors="replace")})
        send({"id": number, "code": process.wait()})

    os.write(device, b"\n")  # whatever half line the last boot has left ends here
    send({"boot": pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()})
    rest = b""
    while True:
        data = os.read(device, 65536)
        if not data:  # nobody listens on the host's side
            time.sleep(0.2)
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                request = json.loads(line)
                threading.Thread(target=run, args=(request["id"], request["argv"]), daemon=True).start()


main()
