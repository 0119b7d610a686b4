# SPDX-License-Identifier: Apache-2.0
"""Registries that fail, lie or are after credentials: one clear error each, nothing kept, and the next good pull works."""
import contextlib
import threading
import time

from support import oci
from support.scripted_registry import BASIC, ScriptedRegistry
from support.suite import contains, equal, test


class Once:
    """True the first n times for each key."""

    def __init__(self, n):
        self.n, self.seen, self.lock = n, {}, threading.Lock()

    def __call__(self, key):
        with self.lock:
            self.seen[key] = self.seen.get(key, 0) + 1
            return self.seen[key] <= self.n


def image():
    """Something to cut: half a megabyte that does not compress away."""
    noise = bytes((i * i * 31 + i // 7) % 251 for i in range(500_000))
    return oci.Image([oci.Tree().file("noise", noise).bytes()], {"Cmd": ["x"]}, gzipped=False)


def always(status, headers=None):
    def fault(handler, *_):
        handler.send(status, b"", headers)
        return True
    return fault


def only(what):
    """The fault `change(handler, body)` for the content of one kind."""
    def decorate(change):
        def fault(handler, kind, body, _):
            if kind != what or body is None:
                return False
            change(handler, body)
            return True
        return fault
    return decorate


def range_start(handler):
    text = handler.headers.get("Range")
    return int(text.removeprefix("bytes=").removesuffix("-")) if text else None


@only("layer")
def truncated(handler, body):
    handler.send(200, body[:1000], length=len(body))


@only("layer")
def longer(handler, body):
    handler.send(200, body + b"more", length="none")


@only("layer")
def wrong_bytes(handler, body):
    handler.send(200, body[:77] + b"?" + body[78:])


@only("config")
def wrong_config(handler, body):
    handler.send(200, body.replace(b"2024", b"2025"))


@only("manifest")
def wrong_type(handler, body):
    handler.send(200, body, {"Content-Type": oci.INDEX})


@only("manifest")
def no_json(handler, _):
    handler.send(200, b"<html>sign in</html>", {"Content-Type": "text/html"})


@only("manifest")
def endless(handler, _):
    handler.send(200, b"[" * (9 << 20), {"Content-Type": oci.MANIFEST}, length="none")


@only("layer")
def stalls(handler, body):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:5000])
    handler.wfile.flush()
    time.sleep(20)
    handler.close_connection = True


@only("layer")
def resumes(handler, body):
    """Hands out 100 kB at a time."""
    begin = range_start(handler)
    if begin is None:
        return handler.send(200, body[:100_000], length=len(body))
    rest = body[begin:]
    handler.send(206, rest[:100_000], {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"}, length=len(rest))


@only("layer")
def range_lie(handler, body):
    begin = range_start(handler)
    if begin is None:
        return handler.send(200, body[:100_000], length=len(body))
    handler.send(206, body[:-begin], {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"})


def challenge_loop(handler, *_):
    if handler.path.startswith("/v2/"):
        handler.send(401, b"", {"WWW-Authenticate": f'Bearer realm="http://{handler.headers["Host"]}/token/x",service="s"'})
        return True
    return False


def basic(handler, *_):
    if handler.headers.get("Authorization") == BASIC:
        return False
    handler.send(401, b"", {"WWW-Authenticate": 'Basic realm="r"'})
    return True


@contextlib.contextmanager
def scripted(extra=None):
    busy = Once(2)

    def busy_twice(handler, *_):
        if not busy(handler.path):
            return False
        handler.send(429, b"", {"Retry-After": "0"})
        return True

    faults = {"truncated": truncated, "longer": longer, "wrong-bytes": wrong_bytes, "wrong-config": wrong_config,
              "wrong-type": wrong_type, "no-json": no_json, "endless": endless, "stalls": stalls, "resumes": resumes,
              "range-lie": range_lie, "down": always(503), "forbidden": always(403), "gone": always(404),
              "loop": challenge_loop, "busy": busy_twice, "basic": basic,
              "redirects": lambda h, *_: always(307, {"Location": h.path})(h),
              "to-file": always(307, {"Location": "file:///etc/passwd"}),
              "realm-elsewhere": always(401, {"WWW-Authenticate": 'Bearer realm="https://evil.example.com/token"'}),
              "realm-metadata": always(401, {"WWW-Authenticate": 'Bearer realm="http://169.254.169.254/token"'}),
              **(extra or {})}
    registry = ScriptedRegistry(image(), faults)
    registry.faults["token/x"] = None
    original = registry.answer

    def answer(handler):
        if handler.path.startswith("/token/"):
            return handler.send(200, b'{"token":"t%d"}' % len(registry.seen), {"Content-Type": "application/json"})
        return original(handler)

    registry.answer = answer
    try:
        yield registry
    finally:
        registry.close()


def stored(node):
    images = node.root / "images"
    return sorted(p.name for p in (images / "layers").iterdir()), sorted(p.name for p in (images / "tmp").iterdir())


def fails_and_leaves_nothing(node, registry, repository, code, *parts, options=()):
    before = stored(node)
    node.refused("pull", *options, f"{registry.host}/{repository}:1", code=code, parts=parts)
    equal(stored(node), before, f"layers and unfinished layers after {repository}")
    check = node.crictl("inspecti", f"{registry.host}/{repository}:1", check=False)
    assert check.code != 0, f"{repository}: a tag was made"


def works(node, registry, repository, options=()):
    reference = f"{registry.host}/{repository}:1"
    node.crictl("pull", *options, reference)
    equal(node.json("inspecti", reference)["status"]["id"], registry.image.id, "id")
    node.crictl("rmi", reference)


@test(seconds=120)
def test_every_fault_is_one_clear_error_and_the_next_good_pull_works(node):
    cases = [("truncated", "Unavailable", "RegistryUnavailable: "), ("longer", "DataLoss", "longer than"),
             ("wrong-bytes", "DataLoss", "wrong content"), ("wrong-config", "DataLoss", "wrong content"),
             ("wrong-type", "InvalidArgument", "manifest"), ("no-json", "InvalidArgument", "sha256:"),
             ("endless", "ResourceExhausted", "larger than"), ("range-lie", "DataLoss", "wrong content"),
             ("down", "Unavailable", "RegistryUnavailable: "), ("forbidden", "PermissionDenied", "403"),
             ("gone", "NotFound", "manifest unknown"), ("loop", "Unauthenticated", "401"),
             ("redirects", "FailedPrecondition", "more than 10 redirects"),
             ("to-file", "FailedPrecondition", "no http or https URL"),
             ("realm-metadata", "PermissionDenied", "169.254.169.254")]
    with scripted() as registry:
        for repository, code, text in cases:
            fails_and_leaves_nothing(node, registry, repository, code, text)
            works(node, registry, "good")
        assert registry.count("loop") <= 3, f"{registry.count('loop')} requests in a challenge loop"


@test
def test_a_registry_that_stalls_is_given_up_after_the_progress_timeout(node):
    with scripted() as registry:
        began = time.monotonic()
        fails_and_leaves_nothing(node, registry, "stalls", "Unavailable", "RegistryUnavailable: ", "no answer for 5 s")
        assert 5 <= time.monotonic() - began < 25, f"{time.monotonic() - began:.1f} s"
        works(node, registry, "good")


@test
def test_busy_registries_and_broken_transfers_are_tried_again(node):
    with scripted() as registry:
        works(node, registry, "busy")
        works(node, registry, "resumes")
        ranges = [h["Range"] for _, path, h, _ in registry.seen if path.startswith("/v2/resumes/blobs") and "Range" in h]
        assert len(ranges) >= 4 and ranges[0] == "bytes=100000-", ranges


@test
def test_basic_credentials_open_their_registry_and_no_other(node):
    with scripted() as storage:
        def elsewhere(handler, kind, body, _):
            if basic(handler):
                return True
            if kind != "layer":
                return False
            handler.send(307, b"", {"Location": f"http://{storage.host}{handler.path}?signature=secret"})
            return True
        with scripted({"elsewhere": elsewhere}) as registry:
            fails_and_leaves_nothing(node, registry, "basic", "Unauthenticated", "401")
            fails_and_leaves_nothing(node, registry, "basic", "Unauthenticated", "401", options=("--creds", "user:wrong"))
            works(node, registry, "basic", options=("--creds", "user:secret"))
            works(node, registry, "elsewhere", options=("--creds", "user:secret"))
            assert any(path.startswith("/v2/elsewhere/blobs") for _, path, _, _ in storage.seen), "nothing was fetched elsewhere"
            assert not [h for _, _, h, _ in storage.seen if "Authorization" in h], "credentials went to another server"
            fails_and_leaves_nothing(node, registry, "realm-elsewhere", "PermissionDenied", "evil.example.com",
                                     options=("--creds", "user:secret"))


@test
def test_bearer_tokens_are_fetched_with_the_credentials(node):
    def bearer(handler, *_):
        if handler.headers.get("Authorization", "").startswith("Bearer t"):
            return False
        handler.send(401, b"", {"WWW-Authenticate": f'Bearer realm="http://{handler.headers["Host"]}/token/x",service="s"'})
        return True
    with scripted({"bearer": bearer}) as registry:
        works(node, registry, "bearer", options=("--creds", "user:secret"))
        tokens = [(m, path, h.get("Authorization")) for m, path, h, _ in registry.seen if path.startswith("/token/")]
        equal(tokens, [("GET", "/token/x?service=s&scope=repository%3Abearer%3Apull", BASIC)], "token requests")
        contains(str([h for _, p, h, _ in registry.seen if "/blobs/" in p]), "Bearer t")
