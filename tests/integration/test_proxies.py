# SPDX-License-Identifier: Apache-2.0
"""Registries behind a proxy: plain, through CONNECT with TLS, with credentials, past it where no_proxy says so."""
import contextlib
import ssl
import subprocess

from support import registry
from support.proxy import Proxy
from support.scripted_registry import BASIC, ScriptedRegistry
from support.suite import contains, equal, test
from test_faulty_registries import basic, image, works

PLAIN, SECURE = "plain.berth.test", "secure.berth.test"  # names that only the proxy knows
DIRECT = "10.99.7.1"
ROUTES = {f"{PLAIN}:80": ("127.0.0.1", 5000), f"{SECURE}:443": ("127.0.0.1", 5443)}


@contextlib.contextmanager
def proxies(node, *, credentials=None, given=None, prefix=(), routes=None, context=None, **options):
    """berthd with one proxy for both schemes; `given` are the credentials that berthd has."""
    proxy = Proxy({**ROUTES, **(routes or {})}, credentials, context)
    url = f"{'https' if context else 'http'}://{given + '@' if given else ''}{proxy.host}"
    registry.write_hosts(node.certs, PLAIN, f"http://{PLAIN}")
    registry.write_hosts(node.certs, SECURE, f"https://{SECURE}", ca=node.images.authority)
    if prefix:
        prefix = ("env", *(f"{name}={url}" for name in prefix))
    else:
        options = {"http_proxy": url, "https_proxy": url, **options}
    try:
        with node.configured({"image": options}, prefix=prefix):
            yield proxy
    finally:
        proxy.close()


def pulls(node, reference):
    node.crictl("pull", reference)
    equal(node.json("inspecti", reference)["status"]["id"], node.images.plain.id, "id")
    node.crictl("rmi", reference)


@test
def test_plain_http_goes_through_the_proxy_as_absolute_urls(node):
    with proxies(node) as proxy:
        pulls(node, f"{PLAIN}/test/plain:1")
        targets = proxy.targets()
        contains(str(targets), f"http://{PLAIN}/v2/test/plain/manifests/1", f"http://{PLAIN}/v2/test/plain/blobs/sha256:")
        equal({method for method, _ in targets}, {"GET"}, "methods")


@test
def test_https_goes_through_a_tunnel_that_ends_at_the_registry(node):
    with proxies(node) as proxy:
        pulls(node, f"{SECURE}/test/plain:1")
        equal(set(proxy.targets()), {("CONNECT", f"{SECURE}:443")}, "what the proxy was asked for")
        # The certificate is the registry's: one for another name is refused behind a proxy too.
        proxy.routes["wrong.example:443"] = ("127.0.0.1", 5443)
        registry.write_hosts(node.certs, "wrong.example", "https://wrong.example", ca=node.images.authority)
        node.refused("pull", "wrong.example/test/plain:1", code="Unavailable", parts=["RegistryUnavailable: ", "certificate"])


@test
def test_a_proxy_with_tls_of_its_own(node):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*node.images.certificate)
    with proxies(node, context=context) as proxy:
        pulls(node, f"{SECURE}/test/plain:1")
        equal(set(proxy.targets()), {("CONNECT", f"{SECURE}:443")}, "what the proxy was asked for")


@test(seconds=90)
def test_the_proxys_credentials_go_to_the_proxy_and_the_registrys_to_the_registry(node):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*node.images.certificate)
    behind = ScriptedRegistry(image(), {"basic": basic}, context)
    routes = {f"{SECURE}:8443": ("127.0.0.1", behind.server.server_address[1])}
    registry.write_hosts(node.certs, f"{SECURE}:8443", f"https://{SECURE}:8443", ca=node.images.authority)
    mark = node.log_mark()
    try:
        with proxies(node, credentials="proxy:p@ss word", given="proxy:p%40ss%20word", routes=routes) as proxy:
            pulls(node, f"{PLAIN}/test/plain:1")
            pulls(node, f"{SECURE}/test/plain:1")
            assert "p%40ss" not in node.crictl("info").text, "crictl info shows the password"
            reference = f"{SECURE}:8443/basic:1"
            node.crictl("pull", "--creds", "user:secret", reference)
            node.crictl("rmi", reference)
            assert any(h.get("Authorization") == BASIC for _, _, h, _ in behind.seen), "the registry got no credentials"
            assert not [h for _, _, h, _ in behind.seen if "Proxy-Authorization" in h], "the proxy's went to the registry"
            assert not [h for method, _, h in proxy.seen if "Authorization" in h], "the registry's went to the proxy"
        for given in ("proxy:wrong-secret", None):
            with proxies(node, credentials="proxy:p@ss word", given=given) as proxy:
                for host in (PLAIN, SECURE):
                    refused = node.refused("pull", f"{host}/test/plain:1", code="Unauthenticated", parts=["proxy", "407"])
                    assert "wrong-secret" not in refused.text, refused.text
                assert len(proxy.seen) <= 4, f"{len(proxy.seen)} requests to a proxy that refuses"
        with open(node.log, "rb") as log:
            log.seek(mark)
            text = log.read().decode(errors="replace")
        for secret in ("wrong-secret", "p%40ss", "p@ss"):
            assert secret not in text, f"{secret} is in the log"
    finally:
        behind.close()


@test
def test_no_proxy_lists_are_reached_directly(node):
    subprocess.run(["ip", "address", "add", f"{DIRECT}/32", "dev", "lo"], check=True)
    direct = ScriptedRegistry(image(), {}, address=DIRECT)
    behind = f"10.98.7.1:{direct.server.server_address[1]}"
    for host in (direct.host, behind):
        registry.write_hosts(node.certs, host, f"http://{host}")
    try:
        with proxies(node, no_proxy="localhost,10.99.0.0/16,.nowhere.test", routes={behind: direct.server.server_address}) as proxy:
            works(node, direct, "direct")
            pulls(node, "127.0.0.1:5000/test/plain:1")  # loopback, listed or not
            equal(proxy.seen, [], "requests to the proxy")
            node.refused("pull", "a.nowhere.test/x:1", code="Unavailable", parts="RegistryUnavailable: ")
            equal(proxy.seen, [], "requests to the proxy for a name that is listed")
            node.crictl("pull", f"{behind}/other:1")
            node.crictl("rmi", f"{behind}/other:1")
            assert proxy.seen, "an address that is not listed went past the proxy"
    finally:
        direct.close()
        subprocess.run(["ip", "address", "del", f"{DIRECT}/32", "dev", "lo"], check=True)


@test
def test_proxies_come_from_the_environment_of_berthd(node):
    for names in (("HTTP_PROXY", "HTTPS_PROXY"), ("http_proxy", "https_proxy")):
        with proxies(node, prefix=names) as proxy:
            pulls(node, f"{PLAIN}/test/plain:1")
            pulls(node, f"{SECURE}/test/plain:1")
            equal({method for method, _ in proxy.targets()}, {"GET", "CONNECT"}, "methods")


@test
def test_a_proxy_that_is_away_or_does_not_know_the_registry_is_one_clear_error(node):
    with proxies(node) as proxy:
        node.refused("pull", f"{PLAIN}:81/test/plain:1", code="Unavailable", parts="RegistryUnavailable: ")
        proxy.close()
        node.refused("pull", f"{PLAIN}/test/plain:1", code="Unavailable", parts="RegistryUnavailable: ")
