# SPDX-License-Identifier: Apache-2.0
"""Credentials from a call and from Docker's config.json, each field of them, and where they go; hosts.toml read anew for each pull."""
import base64
import json
import pathlib
import shutil
import ssl
import subprocess
import urllib.parse

from support import environment, registry, tools
from support.scripted_registry import BASIC, ScriptedRegistry
from support.suite import contains, equal, eventually, test
from test_faulty_registries import basic, image, no_json, only, scripted, stored, wrong_bytes

HELPERS = pathlib.Path("/opt")  # a tmpfs for the helpers' bin


def bearer(handler, *_):
    """Lets in who has a token of the service beside it, or one of the test's own."""
    if handler.headers.get("Authorization", "").startswith("Bearer t"):
        return False
    handler.send(401, b"", {"WWW-Authenticate": f'Bearer realm="http://{handler.headers["Host"]}/token/x",service="s"'})
    return True


def pull(node, reference, **auth):
    """With these fields of AuthConfig: (exit code, what the client says)."""
    done = subprocess.run([tools.go_program("cri_v1"), node.state / "berth.sock", "pull", reference, json.dumps(auth)],
                          capture_output=True, text=True, timeout=50)
    return done.returncode, done.stdout


def let_in(node, source, repository, **auth):
    code, text = pull(node, f"{source.host}/{repository}:1", **auth)
    equal((code, text.strip()), (0, source.image.id), f"{repository} with {sorted(auth)}")
    node.crictl("rmi", f"{source.host}/{repository}:1")


def kept_out(node, source, repository, **auth):
    before, code = stored(node), pull(node, f"{source.host}/{repository}:1", **auth)
    assert code[0] != 0, f"{repository} with {sorted(auth)} was let in"
    contains(code[1], "code = Unauthenticated", "401")
    equal(stored(node), before, "layers")


def tokens(source):
    """The requests to the token service so far, and none of them a second time."""
    found = [(m, urllib.parse.parse_qs(b), h.get("Authorization")) for m, p, h, b in source.seen if p.startswith("/token/")]
    source.seen.clear()
    return found


@test
def test_every_field_of_a_calls_credentials_is_used_as_it_should_be(node):
    with scripted({"bearer": bearer}) as source:
        let_in(node, source, "bearer", identityToken="refresh me+please")
        (method, form, authorization), = tokens(source)
        equal((method, authorization), ("POST", None), "how a token is asked for with an identity token")
        equal(form, {"grant_type": ["refresh_token"], "refresh_token": ["refresh me+please"], "service": ["s"],
                     "scope": ["repository:bearer:pull"], "client_id": ["berth"]}, "form")
        let_in(node, source, "bearer", registryToken="tea")
        equal({h.get("Authorization") for _, _, h, _ in source.seen}, {"Bearer tea"}, "with a registry token")
        kept_out(node, source, "bearer", registryToken="coffee")
        equal(tokens(source), [], "requests for a token by one who has a token")
        let_in(node, source, "bearer", username="user", password="secret")
        equal(tokens(source), [("GET", {}, BASIC)], "with user and password")
        let_in(node, source, "basic", auth=base64.b64encode(b"user:secret").decode())
        kept_out(node, source, "basic", auth=base64.b64encode(b"user:other").decode())
        code, text = pull(node, f"{source.host}/basic:1", auth="no base64")
        assert code != 0 and "code = InvalidArgument" in text and "base64" in text, text
        let_in(node, source, "basic", username="user", password="secret", serverAddress=f"http://{source.host}/v2/")
        source.seen.clear()
        kept_out(node, source, "basic", username="user", password="secret", serverAddress="other.example")
        equal([h for _, _, h, _ in source.seen if "Authorization" in h], [], "credentials of another server")


def write_helper(name, script):
    directory = HELPERS / "bin"
    directory.mkdir(exist_ok=True)
    path = directory / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@test(seconds=90)
def test_dockers_config_and_its_helpers_are_asked_anew_for_each_pull(node):
    config = node.work / "docker-config.json"
    environment.mount("tmpfs", HELPERS, "tmpfs", 0, "mode=755")
    try:
        with scripted({"bearer": bearer}) as source, node.configured({"image": {"docker_configs": [str(config)]}}):
            kept_out(node, source, "basic")  # no file: nobody
            config.write_text(json.dumps({"auths": {source.host: {"auth": base64.b64encode(b"user:secret").decode()}}}))
            let_in(node, source, "basic")
            kept_out(node, source, "basic", username="user", password="the call's count")
            config.write_text(json.dumps({"auths": {"other.example": {"auth": base64.b64encode(b"user:secret").decode()}}}))
            kept_out(node, source, "basic")
            config.write_text(json.dumps({"auths": {source.host: {"identitytoken": "from the file"}}}))
            source.seen.clear()
            let_in(node, source, "bearer")
            equal([form["refresh_token"] for _, form, _ in tokens(source)], [["from the file"]], "identity token")

            config.write_text(json.dumps({"credHelpers": {source.host: "berthtest"}}))
            write_helper("berthtest", f'read server; [ "$server" = {source.host} ] && [ "$1" = get ] && [ "$(env | wc -l)" -le 4 ] && '
                         'echo \'{"Username": "user", "Secret": "secret"}\'')
            let_in(node, source, "basic")
            write_helper("berthtest", 'echo \'{"Username": "<token>", "Secret": "from the helper"}\'')
            source.seen.clear()
            let_in(node, source, "bearer")
            equal([form["refresh_token"] for _, form, _ in tokens(source)], [["from the helper"]], "identity token")
            write_helper("berthtest", "echo credentials not found in native keychain; exit 1")
            kept_out(node, source, "basic")
            write_helper("berthtest", 'echo "the vault is sealed" >&2; echo top-secret; exit 1')
            refused = node.refused("pull", f"{source.host}/basic:1", code="FailedPrecondition",
                                   parts=[str(config), "docker-credential-berthtest", "the vault is sealed"])
            assert "top-secret" not in refused.text, refused.text
            config.write_text(json.dumps({"credsStore": "missing"}))
            node.refused("pull", f"{source.host}/basic:1", code="FailedPrecondition", parts="docker-credential-missing")
    finally:
        environment.umount(HELPERS)
        config.unlink(missing_ok=True)


@test(seconds=90)
def test_a_helper_that_hangs_ends_with_its_pull_and_with_the_daemon(node):
    config, started = node.work / "docker-config.json", node.work / "helper-started"
    environment.mount("tmpfs", HELPERS, "tmpfs", 0, "mode=755")

    def hanging(source):
        started.unlink(missing_ok=True)
        client = subprocess.Popen(node.command("pull", f"{source.host}/app:1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: started.exists() and started.read_text().strip())
        return client, pathlib.Path("/proc") / started.read_text().strip()
    try:
        with scripted() as source, node.configured({"image": {"docker_configs": [str(config)]}}):
            config.write_text(json.dumps({"credHelpers": {source.host: "berthtest"}}))
            write_helper("berthtest", f"echo $$ > {started}; exec sleep 1000")
            client, helper = hanging(source)
            client.kill()
            client.wait()
            eventually(lambda: not helper.exists())
            eventually(lambda: "app:1" not in node.berth("image", "pulls").text)
            client, helper = hanging(source)
            node.stop_daemon()  # which fails when it does not end in time
            node.start()
            assert not helper.exists(), "the helper outlived the daemon"
            assert client.wait(20) != 0
            equal(source.seen, [], "requests without credentials")
    finally:
        environment.umount(HELPERS)
        config.unlink(missing_ok=True)


class Mirrored:
    """A name that only certs.d knows."""

    def __init__(self, node, name):
        self.node, self.name = node, name
        self.directory = node.certs / name
        self.directory.mkdir()

    def hosts(self, text):
        (self.directory / "hosts.toml").write_text(text)

    def pulls(self, source, tag="1", **auth):
        code, text = pull(self.node, f"{self.name}/app:{tag}", **auth)
        equal((code, text.strip()), (0, source.image.id), f"pull of {self.name}")
        self.node.crictl("rmi", f"{self.name}/app:{tag}")

    def close(self):
        shutil.rmtree(self.directory)


@only("layer")
def truncated_whole(handler, body):
    """Less than there is, and it does not know."""
    handler.send(200, body[:-7])


def kinds(source):
    """What it was asked for since the last time, without doubles, and in which order."""
    found = list(dict.fromkeys(path.split("/")[3] for _, path, _, _ in source.seen))
    source.seen.clear()
    return found


@test(seconds=90)
def test_mirrors_are_asked_in_their_order_for_what_they_may_do_and_without_credentials(node):
    first, second, own = (ScriptedRegistry(image(), {}) for _ in range(3))
    mirrored = Mirrored(node, "mirrored.berth.test")
    everything = [first, second, own]
    before = stored(node)

    def file(first_options="", second_options=""):
        mirrored.hosts(f'server = "http://{own.host}"\n[host."http://{first.host}"]\n{first_options}\n'
                       f'[host."http://{second.host}"]\n{second_options}\n')
    try:
        file()
        mirrored.pulls(first)
        assert all("ns=mirrored.berth.test" in path for _, path, _, _ in first.seen), first.seen
        equal([kinds(s) for s in everything], [["manifests", "blobs"], [], []], "who was asked")
        first.faults["app"] = lambda handler, *_: handler.send(404) or True
        mirrored.pulls(first)
        equal([kinds(s) for s in everything], [["manifests"], ["manifests", "blobs"], []], "who was asked, the first without it")
        second.faults["app"] = lambda handler, kind, *_: kind != "manifest" and (handler.send(500) or True)
        mirrored.pulls(first)
        equal(kinds(own), ["blobs"], "what was asked of the registry itself")
        for lie in (wrong_bytes, truncated_whole, no_json):
            first.faults["app"] = second.faults["app"] = lie
            mirrored.pulls(first)
            assert "blobs" in kinds(own), f"{lie}: what was asked of the registry itself"
        own.faults["app"] = wrong_bytes
        first.faults["app"] = second.faults["app"] = wrong_bytes
        refused = node.refused("pull", "mirrored.berth.test/app:1", code="DataLoss", parts="wrong content")
        assert stored(node) == before, refused.text
        own.faults.clear()
        for source in everything:
            source.faults.clear()
            source.seen.clear()
        file('capabilities = ["pull"]', 'capabilities = ["resolve"]')
        mirrored.pulls(first)
        equal([kinds(s) for s in everything], [["blobs"], ["manifests"], []], "who was asked for what")
        file('[host."http://%s".header]\nx-berth = ["one", "two"]' % first.host)
        mirrored.pulls(first)
        assert all(h.get("x-berth") in ("one", "two") for _, _, h, _ in first.seen), first.seen
        for source in everything:
            source.faults["app"] = basic
            source.seen.clear()
        file()
        mirrored.pulls(first, username="user", password="secret")
        assert not [h for s in (first, second) for _, _, h, _ in s.seen if "Authorization" in h], "credentials went to a mirror"
        assert [h for _, _, h, _ in own.seen if h.get("Authorization") == BASIC], "the registry itself got none"
        # A path of the mirror's own, without /v2.
        first.faults.clear()
        original = first.answer

        def below(handler):
            assert handler.path.startswith("/proxy/hub/app/"), handler.path
            handler.path = handler.path.replace("/proxy/hub/", "/v2/", 1)
            return original(handler)
        first.answer = below
        mirrored.hosts(f'server = "http://{own.host}"\n[host."http://{first.host}/proxy/hub"]\noverride_path = true\n')
        own.seen.clear()
        mirrored.pulls(first)
        equal(own.seen, [], "requests past the mirror")
        mirrored.hosts("server = 7\n")
        node.refused("pull", "mirrored.berth.test/app:1", code="FailedPrecondition", parts=["mirrored.berth.test", "hosts.toml"])
    finally:
        mirrored.close()
        for source in everything:
            source.close()


@test(seconds=90)
def test_tls_to_a_registry_is_as_its_file_says(node):
    certificate, key = node.images.certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(node.images.authority)
    source = ScriptedRegistry(image(), {}, context)
    mirrored = Mirrored(node, "tls.berth.test")
    reference = "tls.berth.test/app:1"
    try:
        server = f'server = "https://{source.host}"\n'
        with_key = f'client = [["{certificate}", "{key}"]]\n'
        for text in ("", with_key):
            mirrored.hosts(server + text)
            node.refused("pull", reference, code="Unavailable", parts=["RegistryUnavailable: ", "certificate"])
        mirrored.hosts(server + f'ca = "{node.images.authority}"\n')
        node.refused("pull", reference, code="Unavailable", parts="RegistryUnavailable: ")
        equal(source.seen, [], "requests without a client's certificate")
        mirrored.hosts(server + f'ca = "{node.images.authority}"\n' + with_key)
        mirrored.pulls(source)
        mirrored.hosts(server + "skip_verify = true\n" + with_key)
        mirrored.pulls(source)
        (mirrored.directory / "hosts.toml").unlink()
        # As Docker has it, under the server's own name.
        docker = node.certs / source.host
        docker.mkdir()
        for name, file in (("ca.crt", node.images.authority), ("client.cert", certificate), ("client.key", key)):
            shutil.copy(file, docker / name)
        let_in(node, source, "app")
        shutil.rmtree(docker)
    finally:
        mirrored.close()
        source.close()


@test
def test_a_registry_with_tls_is_spoken_to_in_http_2(node):
    port = 5447
    host = f"127.0.0.1:{port}"
    server = registry.Registry(node.work, node.images.registry.storage, port, node.images.certificate, access_log=True)
    registry.write_hosts(node.certs, host, f"https://{host}", ca=node.images.authority)
    try:
        node.crictl("pull", f"{host}/test/zstd:1")
    finally:
        server.close()
    node.crictl("rmi", f"{host}/test/zstd:1")
    log = (node.work / f"registry-{port}.log").read_text()
    lines = [line for line in log.splitlines() if '"GET /v2/' in line]
    assert len(lines) >= 3, log
    assert all("HTTP/2.0" in line for line in lines), lines


@test
def test_a_pull_keeps_its_connections(node):
    source = ScriptedRegistry(image(), {})
    try:
        reference = f"{source.host}/app:1"
        node.crictl("pull", reference)
        node.crictl("rmi", reference)
        equal((len(source.seen), source.connections), (3, 1), "requests for manifest, config and layer, and connections")
    finally:
        source.close()
