# SPDX-License-Identifier: Apache-2.0
"""A real registry behind TLS that asks for credentials: Basic by its own password file, Bearer by a token service."""
import contextlib
import crypt

from support import registry
from support.suite import equal, test
from support.token_server import BASIC, TokenServer


@contextlib.contextmanager
def guarded(node, port, auth):
    """The images of the suite, served by one more registry process."""
    images = node.images
    server = registry.Registry(node.work, images.registry.storage, port, images.certificate, auth)
    host = f"127.0.0.1:{port}"
    registry.write_hosts(node.certs, host, f"https://{host}", ca=images.authority)
    try:
        yield f"{host}/test/plain:1"
    finally:
        server.close()


def only_with_the_right_password(node, reference):
    node.refused("pull", reference, code="Unauthenticated", parts="401")
    node.refused("pull", "--creds", "user:wrong", reference, code="Unauthenticated", parts="401")
    node.crictl("pull", "--creds", "user:secret", reference)
    equal(node.json("inspecti", reference)["status"]["id"], node.images.plain.id, "id")
    node.crictl("rmi", reference)


@test
def test_basic_authentication_over_tls(node):
    password = crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
    passwords = node.work / "htpasswd"
    passwords.write_text(f"user:{password}\n")
    with guarded(node, 5444, f"auth:\n  htpasswd:\n    realm: test\n    path: {passwords}\n") as reference:
        only_with_the_right_password(node, reference)


@test
def test_bearer_tokens_over_tls(node):
    service = TokenServer(5446, node.images.certificate)
    auth = (f"auth:\n  token:\n    realm: https://127.0.0.1:5446/token\n    service: test registry\n    issuer: berth-test\n"
            f"    rootcertbundle: {node.images.authority}\n")
    try:
        with guarded(node, 5445, auth) as reference:
            only_with_the_right_password(node, reference)
    finally:
        service.close()
    good = [path for path, authorization in service.seen if authorization == BASIC]
    equal(good, ["/token?service=test%20registry&scope=repository%3Atest%2Fplain%3Apull"], "requests for a token")
