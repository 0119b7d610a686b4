# SPDX-License-Identifier: Apache-2.0
"""Images: every form a registry or an archive serves, and what is told about them."""
import contextlib
import hashlib
import subprocess

from support import oci
from support.scripted_registry import ScriptedRegistry
from support.suite import contains, equal, test

HTTP, HTTPS = "127.0.0.1:5000", "127.0.0.1:5443"


def image_list(node):
    return node.json("images", "-o", "json")["images"]


@contextlib.contextmanager
def pulled(node, reference):
    """The id, as a pull says it; the image goes at the end."""
    node.crictl("pull", reference)
    try:
        yield node.json("inspecti", reference)["status"]["id"]
    finally:
        node.crictl("rmi", reference)


def check_runs(node, reference, *command, want):
    with node.pod() as pod:
        container = pod.run(list(command), image=reference)
        equal(container.wait_exit()["exitCode"], 0, "exit code")
        equal(container.log().strip(), want, "output")


@test
def test_pull_answers_with_the_id_that_list_and_status_show(node):
    text = node.crictl("pull", f"{HTTP}/test/plain:1").out
    contains(text, node.images.plain.id)
    status = node.json("inspecti", f"{HTTP}/test/plain:1")["status"]
    equal(status["id"], node.images.plain.id, "id")
    equal(status["repoTags"], [f"{HTTP}/test/plain:1"], "tags")
    equal(status["repoDigests"], [f"{HTTP}/test/plain@{node.images.plain.digest}"], "digests")
    assert int(status["size"]) > 1_000_000, status
    assert node.images.plain.id in [i["id"] for i in image_list(node)]
    node.crictl("rmi", node.images.plain.id)
    assert node.images.plain.id not in [i["id"] for i in image_list(node)]
    check = node.crictl("inspecti", f"{HTTP}/test/plain:1", check=False)
    assert check.code != 0, "a removed image is still found"


@test
def test_pull_over_https_trusts_the_authority_of_hosts_toml(node):
    with pulled(node, f"{HTTPS}/test/ours:1") as identifier:
        equal(identifier, node.images.ours.id, "id")


@test
def test_docker_schema_2_image_runs(node):
    with pulled(node, f"{HTTP}/test/schema2:1"):
        check_runs(node, f"{HTTP}/test/schema2:1", "cat", "/data/changed", want="new")


@test
def test_zstd_layers_are_unpacked(node):
    with pulled(node, f"{HTTP}/test/zstd:1"):
        check_runs(node, f"{HTTP}/test/zstd:1", "cat", "/zstd", want="compressed with zstd")


@test
def test_plain_tar_layers_are_unpacked(node):
    with pulled(node, f"{HTTP}/test/plain:1"):
        check_runs(node, f"{HTTP}/test/plain:1", "cat", "/plain", want="plain")


@test
def test_an_index_gives_the_image_of_this_architecture(node):
    with pulled(node, f"{HTTP}/test/index:1") as identifier:
        equal(identifier, node.images.ours.id, "id")
        check_runs(node, f"{HTTP}/test/index:1", "cat", "/ours", want="ours")


@test
def test_pull_by_digest(node):
    reference = f"{HTTP}/test/ours@{node.images.ours.digest}"
    with pulled(node, reference) as identifier:
        equal(identifier, node.images.ours.id, "id")
        equal(node.json("inspecti", reference)["status"]["repoTags"], [], "tags")
    # Beside a digest a tag is a remark: what it meant before it goes on meaning.
    oci.Push(HTTP).image("test/ours", "mine", node.images.plain)
    with pulled(node, f"{HTTP}/test/ours:mine") as plain:
        both = f"{HTTP}/test/ours:mine@{node.images.ours.digest}"
        with pulled(node, both) as identifier:
            equal(identifier, node.images.ours.id, "id of what is named by tag and digest")
            status = node.json("inspecti", both)["status"]
            equal((status["id"], status["repoTags"], status["repoDigests"]), (identifier, [], [reference]), "names")
            equal(node.json("inspecti", f"{HTTP}/test/ours:mine")["status"]["id"], plain, "what the tag means")


@test
def test_content_named_by_sha512_is_checked_and_found_by_it(node):
    def sha512(data):
        return "sha512:" + hashlib.sha512(data).hexdigest()

    image = oci.Image([oci.Tree().file("f", "long digest\n").bytes()], {"Cmd": ["x"]})
    identifier = image.id
    for descriptor in (image.manifest_value["config"], *image.manifest_value["layers"]):
        data = image.blobs[descriptor["digest"]]
        descriptor["digest"] = sha512(data)
        image.blobs[sha512(data)] = data
    registry = ScriptedRegistry(image, {"damaged": lambda handler, kind, body, _: kind == "layer" and
                                        (handler.send(200, body[:-1] + b"?"), True)[1]})
    try:
        reference = f"{registry.host}/app@{sha512(image.manifest)}"
        node.crictl("pull", reference)
        status = node.json("inspecti", reference)["status"]
        equal((status["id"], status["repoDigests"]), (identifier, [reference]), "id and digests")
        node.crictl("rmi", reference)
        node.refused("pull", f"{registry.host}/damaged@{sha512(image.manifest)}", code="DataLoss", parts=["sha512:", "wrong content"])
        other = f"{registry.host}/app@{sha512(b'other')}"
        node.refused("pull", other, code="DataLoss", parts=["wrong content, its digest is sha512:"])
        node.refused("pull", f"{registry.host}/app@md5:{'0' * 32}", code="InvalidArgument", parts="algorithm md5 is not supported")
    finally:
        registry.close()


@test
def test_rule_6_an_image_is_found_by_every_form_of_its_name(node):
    image, name = node.images.plain, f"{HTTP}/test/plain"
    oci.Push(HTTP).image("test/plain", "latest", image)
    node.crictl("pull", name)
    try:
        hexes = image.id.removeprefix("sha256:")
        for form in (name, f"{name}:latest", f"{name}@{image.digest}", f"{name}:latest@{image.digest}", f"{name}:other@{image.digest}",
                     image.id, hexes, hexes[:12], f"sha256:{hexes[:12]}", image.digest):
            equal(node.json("inspecti", form)["status"]["id"], image.id, form)
        for form in (f"{name}:other", f"{HTTP}/test/other", hexes[:2], f"{name}@{image.id}", "Not/A Name"):
            assert node.crictl("inspecti", form, check=False).code != 0, f"{form!r} was found"
            node.crictl("rmi", form, check=False)
            equal(node.json("inspecti", name)["status"]["id"], image.id, f"after the removal of {form!r}")
    finally:
        node.crictl("rmi", hexes[:12])
    assert node.crictl("inspecti", name, check=False).code != 0, "removed by its id's beginning, and still there"


@test
def test_rule_10_two_tags_of_one_image_are_one_image_and_go_together(node):
    references = [f"{HTTP}/test/plain:1", f"{HTTPS}/test/plain:1"]
    for reference in references:
        node.crictl("pull", reference)
    found = [i for i in image_list(node) if i["id"] == node.images.plain.id]
    equal(len(found), 1, "images of that id")
    equal(sorted(found[0]["repoTags"]), references, "tags")
    node.crictl("rmi", references[0])
    assert not [i for i in image_list(node) if i["id"] == node.images.plain.id]


@test
def test_layers_of_an_image_follow_overlay_rules(node):
    with node.pod() as pod:
        container = pod.run()
        script = ("cd /data; ls -A . dir; cat kept changed replaced link hard; stat -c '%a %u %g' changed dir; "
                  "stat -c %h hard; ls -A / | grep -c wh || true")
        equal(container.sh(script).rstrip("\n").split("\n"),
              [".:", "changed", "dir", "hard", "kept", "link", "replaced", "", "dir:", "c", "first", "new", "now a file",
               "first", "new", "600 1000 1001", "700 0 0", "2", "0"], "tree")


@test
def test_an_image_that_has_a_layer_twice_runs_and_is_a_volume(node):
    x = oci.Tree().file("x", "x\n").bytes()
    y = oci.Tree().whiteout("x").file("y", "y\n").bytes()
    busybox, empty = oci.busybox_tree().bytes(), oci.Tree().bytes()
    for layers, want in (([busybox, x, x], "x"), ([busybox, x, y, x], "x y"), ([busybox, y, x, y], "y"),
                         ([busybox, empty, x, empty], "x"), ([busybox, x, busybox], "x")):
        registry = ScriptedRegistry(oci.Image(layers, {"Cmd": ["sh"]}), {})
        reference = f"{registry.host}/app:1"
        try:
            with pulled(node, reference), node.pod() as pod:
                volume = {"container_path": "/vol", "image": {"image": reference}, "readonly": True}
                container = pod.run(image=reference, mounts=[volume])
                for directory in ("/", "/vol/"):
                    equal(container.sh(f"cd {directory}; cat x y 2>/dev/null || true").split(), want.split(), f"files in {directory}")
        finally:
            registry.close()


@test
def test_image_user_is_told_as_name_or_number(node):
    with pulled(node, f"{HTTP}/test/user-name:1"), pulled(node, f"{HTTP}/test/user-ids:1"):
        status = node.json("inspecti", f"{HTTP}/test/user-name:1")["status"]
        equal((status["username"], status.get("uid")), ("alice", None), "by name")
        status = node.json("inspecti", f"{HTTP}/test/user-ids:1")["status"]
        equal((status["username"], status["uid"]["value"]), ("", "1003"), "by number")


@test
def test_import_of_an_oci_layout(node):
    contains(node.berth("image", "import", node.images.layout, "--name", "example.test/layout:1").out, node.images.converted.id)
    check_runs(node, "example.test/layout:1", "cat", "/data/changed", want="new")
    node.crictl("rmi", "example.test/layout:1")


@test
def test_import_of_an_oci_archive(node):
    contains(node.berth("image", "import", node.images.oci_archive, "--name", "example.test/archive:1").out,
             node.images.converted.id)
    check_runs(node, "example.test/archive:1", "cat", "/data/changed", want="new")
    node.crictl("rmi", "example.test/archive:1")


@test
def test_import_of_a_docker_archive_takes_its_name(node):
    node.berth("image", "import", node.images.docker_archive)
    check_runs(node, "example.test/saved:1", "cat", "/data/changed", want="new")
    node.crictl("rmi", "example.test/saved:1")


@test
def test_rule_8_image_of_a_running_container_may_be_removed_and_the_container_goes_on(node):
    reference = f"{HTTP}/test/ours:1"
    node.crictl("pull", reference)
    with node.pod() as pod:
        container = pod.run(image=reference)
        node.crictl("rmi", reference)
        equal(container.sh("cat /ours").strip(), "ours", "file of the image")
        status = container.status()
        assert status["image"]["image"] and status["imageRef"], status


@test
def test_imagefsinfo_names_the_file_system(node):
    info = node.json("imagefsinfo")["status"]["imageFilesystems"][0]
    assert str(node.root) in info["fsId"]["mountpoint"], info
    assert int(info["usedBytes"]["value"]) > 1_000_000, info


@test
def test_one_image_pulled_by_many_at_once(node):
    reference = f"{HTTP}/test/zstd:1"
    pulls = [subprocess.Popen(node.command("pull", reference), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
             for _ in range(6)]
    outputs = [(pull.communicate(timeout=50)[0], pull.returncode) for pull in pulls]
    assert all(code == 0 for _, code in outputs), outputs
    equal(len([i for i in image_list(node) if reference in i["repoTags"]]), 1, "images")
    node.crictl("rmi", reference)
