# SPDX-License-Identifier: Apache-2.0
"""Who reaches whom: an echo server, and a client that asks several at once. Run inside a network namespace:
traffic.py serve PORT | traffic.py ask '[["name","tcp","10.0.0.1",80]...]'"""
import contextlib
import json
import pathlib
import select
import socket
import subprocess
import sys
import threading

SECONDS = 2


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(port):
    listeners, datagrams = [], []
    for kind in (socket.AF_INET, socket.AF_INET6):
        for type_, found in ((socket.SOCK_STREAM, listeners), (socket.SOCK_DGRAM, datagrams)):
            s = socket.socket(kind, type_)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if kind == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind(("::" if kind == socket.AF_INET6 else "0.0.0.0", port))
            found.append(s)
    for s in listeners:
        s.listen(16)
    print("ready", flush=True)
    while True:
        for s in select.select([*listeners, *datagrams], [], [])[0]:
            if s in listeners:
                connection, peer = s.accept()
                connection.sendall(peer[0].encode())
                connection.close()
            else:
                _, peer = s.recvfrom(100)
                s.sendto(peer[0].encode(), peer)


def ask_one(protocol, address, port):
    """The address that the server saw, or None."""
    try:
        with socket.socket(family(address), socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as s:
            s.settimeout(SECONDS)
            s.connect((address, port))
            if protocol == "udp":
                s.send(b"?")
            return s.recv(100).decode() or None
    except OSError:
        return None


def ask(targets):
    results, threads = {}, []
    for name, *where in targets:
        def work(name=name, where=where):
            results[name] = ask_one(*where)
        threads.append(threading.Thread(target=work))
        threads[-1].start()
    for thread in threads:
        thread.join()
    print(json.dumps(results))


def _inside(namespace):
    return ["ip", "netns", "exec", namespace] if namespace else []


@contextlib.contextmanager
def server(namespace, port):
    process = subprocess.Popen([*_inside(namespace), sys.executable, str(pathlib.Path(__file__).resolve()), "serve", str(port)],
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def seen(namespace, targets):
    """name -> the address that the server saw, None when there was no answer. namespace "" is the host."""
    done = subprocess.run([*_inside(namespace), sys.executable, str(pathlib.Path(__file__).resolve()), "ask", json.dumps(targets)],
                          capture_output=True, text=True, check=True, timeout=30)
    return json.loads(done.stdout)


if __name__ == "__main__":
    serve(int(sys.argv[2])) if sys.argv[1] == "serve" else ask(json.loads(sys.argv[2]))
