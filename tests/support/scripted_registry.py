# SPDX-License-Identifier: Apache-2.0
"""A registry that does to each repository what its name says: answers, lies, stalls, redirects. On loopback, plain HTTP unless told
otherwise."""
import base64
import http.server
import json
import threading

from . import oci

BASIC = "Basic " + base64.b64encode(b"user:secret").decode()


class ScriptedRegistry:
    """faults: repository -> function(request handler, kind, body, content type), kind "manifest", "config" or "layer"; a
    repository without one is served as it should be. `seen` has every request as (method, path, headers, body)."""

    def __init__(self, image, faults, context=None, address="127.0.0.1"):
        self.image, self.faults, self.seen, self.connections = image, faults, [], 0
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def setup(self):
                registry.connections += 1
                super().setup()

            def do_GET(self):
                self._serve()

            def do_POST(self):
                self._serve()

            def _serve(self):
                length = int(self.headers.get("Content-Length") or 0)
                registry.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length).decode()))
                try:
                    registry.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def send(self, status, body=b"", headers=None, length=None):
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                if length != "none":
                    self.send_header("Content-Length", str(len(body) if length is None else length))
                else:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                self.wfile.write(body)
                if length not in (None, "none") and length != len(body):
                    self.close_connection = True

        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.host = f"{address}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def content(self, path):
        """(repository, kind, bytes, content type) of a path below /v2/."""
        repository, _, rest = path.partition("?")[0].removeprefix("/v2/").partition("/")
        image = self.image
        if rest.startswith("manifests/"):
            return repository, "manifest", image.manifest, oci.MANIFEST
        name = rest.removeprefix("blobs/")
        kind = "config" if name == image.manifest_value["config"]["digest"] else "layer"
        return repository, kind, image.blobs.get(name), "application/octet-stream"

    def answer(self, handler):
        repository, kind, body, media_type = self.content(handler.path)
        fault = self.faults.get(repository)
        if fault is not None and fault(handler, kind, body, media_type):
            return
        if body is None:
            handler.send(404, json.dumps({"errors": [{"code": "BLOB_UNKNOWN", "message": "unknown"}]}).encode())
        else:
            handler.send(200, body, {"Content-Type": media_type})

    def count(self, repository):
        return sum(1 for _, path, _, _ in self.seen if path.startswith(f"/v2/{repository}/"))

    def close(self):
        self.server.shutdown()
        self.server.server_close()
