# SPDX-License-Identifier: Apache-2.0
"""The token service of a real registry: Basic in, a signed JWT out (distribution spec, auth/token.md), with TLS on loopback."""
import base64
import http.server
import json
import pathlib
import ssl
import subprocess
import threading
import time
import urllib.parse

BASIC = "Basic " + base64.b64encode(b"user:secret").decode()


def _url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    def __init__(self, port, certificate):
        self.seen, self._certificate = [], certificate
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                service.seen.append((self.path, self.headers.get("Authorization")))
                good = self.headers.get("Authorization") == BASIC
                body = json.dumps({"token": service.token(self.path)} if good else {}).encode()
                self.send_response(200 if good else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, path):
        """A JWT for what the scope asks, and only to pull it."""
        query = urllib.parse.parse_qs(urllib.parse.urlparse(path).query)
        _, repository, _ = query["scope"][0].split(":")
        certificate, key = map(pathlib.Path, self._certificate)
        der = subprocess.run(["openssl", "x509", "-in", certificate, "-outform", "DER"], check=True, capture_output=True).stdout
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        claims = {"iss": "berth-test", "sub": "user", "aud": query["service"][0], "iat": now, "nbf": now - 10, "exp": now + 300,
                  "jti": str(now), "access": [{"type": "repository", "name": repository, "actions": ["pull"]}]}
        text = ".".join(_url64(json.dumps(part).encode()) for part in (header, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(), check=True,
                                   capture_output=True).stdout
        return f"{text}.{_url64(signature)}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
