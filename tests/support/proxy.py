# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy on loopback: requests with an absolute URL, CONNECT, with credentials or without. It alone knows where the names
lead, so that what arrives has come through it."""
import base64
import http.client
import http.server
import select
import socket
import threading
import urllib.parse


class Proxy:
    """routes: "name:port" -> (address, port). `seen`: (method, target, headers) of every request to the proxy itself."""

    def __init__(self, routes, credentials=None, context=None):
        self.routes, self.seen = routes, []
        self._authorization = credentials and "Basic " + base64.b64encode(credentials.encode()).decode()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def refused(self):
                """Answers when the client may not, or the target is unknown."""
                proxy.seen.append((self.command, self.path, dict(self.headers)))
                if proxy._authorization and self.headers.get("Proxy-Authorization") != proxy._authorization:
                    self.answer(407, {"Proxy-Authenticate": 'Basic realm="proxy"'})
                    return True
                if self.target() not in proxy.routes:
                    self.answer(502, {})
                    return True
                return False

            def target(self):
                if self.command == "CONNECT":
                    return self.path
                url = urllib.parse.urlsplit(self.path)
                return f"{url.hostname}:{url.port or 80}"

            def answer(self, status, headers, body=b""):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.refused():
                    return
                url = urllib.parse.urlsplit(self.path)
                headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
                behind = http.client.HTTPConnection(*proxy.routes[self.target()], timeout=20)
                behind.request("GET", url.path + ("?" + url.query if url.query else ""), headers={**headers, "Connection": "close"})
                response = behind.getresponse()
                kept = ("content-type", "www-authenticate", "docker-content-digest", "location")
                self.answer(response.status, {n: v for n, v in response.getheaders() if n.lower() in kept}, response.read())
                behind.close()

            def do_CONNECT(self):
                if self.refused():
                    return
                with socket.create_connection(proxy.routes[self.target()], timeout=20) as behind:
                    self.send_response(200)
                    self.end_headers()
                    _tunnel(self.connection, behind)
                self.close_connection = True

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def targets(self):
        return [(method, target) for method, target, _ in self.seen]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def _tunnel(one, other):
    """Until one side ends. One thread: a TLS connection may not be read and written at the same time."""
    try:
        while True:
            waiting = [end for end in (one, other) if getattr(end, "pending", lambda: 0)()]
            for end in waiting or select.select([one, other], [], [])[0]:
                data = end.recv(65536)
                if not data:
                    return
                (other if end is one else one).sendall(data)
    except OSError:
        pass
