# SPDX-License-Identifier: Apache-2.0
"""The image store as its operator sees it: pulls that go on, checks and repairs, pinned images, a policy of signatures."""
import pathlib
import re
import shutil
import subprocess
import threading
import time

from support import oci
from support.node import Failed
from support.scripted_registry import ScriptedRegistry
from support.suite import contains, equal, eventually, test
from test_faulty_registries import fails_and_leaves_nothing, stored, works

HTTP = "127.0.0.1:5000"


def layer(node, digest):
    return node.root / "images" / "layers" / digest.removeprefix("sha256:") / "fs"


@test
def test_verify_finds_a_damaged_layer_and_heal_fetches_only_that(node):
    reference, image = f"{HTTP}/test/ours:1", node.images.ours
    node.crictl("pull", reference)
    try:
        base, top = image.diff_ids
        contains(node.berth("image", "verify", reference).out, f"{top} good")
        inode = layer(node, base).stat().st_ino
        (layer(node, top) / "ours").write_text("damaged\n")
        found = node.berth("image", "verify", check=False)
        equal(found.code, 1, "exit code")
        contains(found.out, f"{top} changed")
        contains(found.out, f"{base} good")
        contains(node.berth("image", "verify", "--heal", reference).out, f"{top} healed")
        equal((layer(node, top) / "ours").read_text(), "ours\n", "content")
        equal(layer(node, base).stat().st_ino, inode, "the other layer's inode")
        contains(node.berth("image", "verify", reference).out, f"{top} good")
    finally:
        node.crictl("rmi", reference)


@test
def test_a_layer_that_cannot_be_fetched_again_stays(node):
    image = oci.Image([oci.busybox_tree().bytes(), oci.Tree().file("top", "t" * 5000).bytes()], {"Cmd": ["sh"]})
    state = {"deny": None}

    def answer(handler, kind, body, _):
        if state["deny"] and kind in state["deny"]:
            handler.send(404)
            return True
        return False

    registry = ScriptedRegistry(image, {"app": answer})
    reference = f"{registry.host}/app:1"
    top = image.diff_ids[1]
    try:
        node.crictl("pull", reference)
        (layer(node, top) / "top").write_text("damaged\n")
        for kinds in (("manifest", "layer"), ("layer",)):
            state["deny"] = kinds
            told = node.berth("image", "verify", "--heal", reference, check=False)
            equal(told.code, 1, "exit code")
            contains(told.out, f"{top} not healed: ")
            contains(node.berth("image", "verify", reference, check=False).out, f"{top} changed")
            with node.pod() as pod:
                equal(pod.run(image=reference).sh("cat /top").strip(), "damaged", "the old layer")
        state["deny"] = None
        contains(node.berth("image", "verify", "--heal", reference).out, f"{top} healed")
        equal((layer(node, top) / "top").read_text(), "t" * 5000, "content")
        equal(list((node.root / "images" / "tmp").iterdir()), [], "unfinished layers")
    finally:
        registry.close()
        node.crictl("rmi", reference, check=False)


@test
def test_an_image_with_a_lost_layer_is_absent_until_it_is_pulled_again(node):
    image = oci.Image([oci.busybox_tree().bytes(), oci.Tree().file("top", "top\n").bytes()], {"Cmd": ["sh"]})
    registry = ScriptedRegistry(image, {})
    reference = f"{registry.host}/app:1"
    try:
        node.crictl("pull", reference)
        node.stop_daemon()
        shutil.rmtree(layer(node, image.diff_ids[1]).parent)
        node.start()
        assert node.crictl("inspecti", reference, check=False).code != 0, "an image without a layer is found"
        assert image.id not in [one["id"] for one in node.json("images", "-o", "json")["images"]], "and listed"
        with node.pod() as pod:
            try:
                pod.run(image=reference)
            except Failed as error:
                contains(str(error), "not found; pull it first")
            else:
                raise AssertionError("a container without a layer was made")
        node.crictl("pull", reference)
        equal(node.json("inspecti", reference)["status"]["repoTags"], [reference], "tags")
        with node.pod() as pod:
            equal(pod.run(image=reference).sh("cat /top").strip(), "top", "content")
    finally:
        registry.close()
        node.crictl("rmi", reference, check=False)


@test
def test_verify_of_an_unknown_image_says_so(node):
    done = node.berth("image", "verify", "nobody.example/knows:1", check=False)
    equal(done.code, 1, "exit code")
    contains(done.err, "not found")


@test
def test_a_pull_is_seen_while_it_goes_on_and_ends_with_its_caller(node):
    def slowly(handler, kind, body, _):
        if kind != "layer":
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:5000])
        handler.wfile.flush()
        handler.connection.settimeout(20)
        handler.rfile.read(1)  # until the other end hangs up
        handler.close_connection = True
        ended.append(time.monotonic())
        return True

    ended = []
    noise = bytes((i * i * 31 + i // 7) % 251 for i in range(200_000))
    registry = ScriptedRegistry(oci.Image([oci.Tree().file("n", noise).bytes()], {}, gzipped=False), {"slow": slowly})
    try:
        reference = f"{registry.host}/slow:1"
        pull = subprocess.Popen(node.command("pull", reference), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: f"{reference}: 0/1 layers" in node.berth("image", "pulls").out, 10)
        contains(node.berth("image", "pulls").out, "1 caller")
        began = time.monotonic()
        pull.kill()
        pull.wait()
        eventually(lambda: node.berth("image", "pulls").out == "", 4)
        eventually(lambda: ended, 4)
        assert ended[0] - began < 4, "the transfer went on without a caller"
        equal(list((node.root / "images" / "tmp").iterdir()), [], "unfinished layers")
    finally:
        registry.close()


@test
def test_how_far_a_pull_is_stands_in_status_metrics_and_log(node):
    def slowly(handler, kind, body, _):
        if kind != "layer":
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for begin in range(0, 24_000, 1000):  # 12 s: longer than the time between two lines of the log
            handler.wfile.write(body[begin:begin + 1000])
            handler.wfile.flush()
            time.sleep(0.5)
        handler.wfile.write(body[24_000:])
        return True

    def metric(name):
        lines = [line.split(" ") for line in node.berth("metrics").out.splitlines() if not line.startswith("#")]
        equal(len({key for key, _ in lines}), len(lines), "series")
        return int(dict(lines)[name])

    noise = bytes((i * i * 31 + i // 7) % 251 for i in range(200_000))
    image = oci.Image([oci.Tree().file("n", noise).bytes()], {}, gzipped=False)
    size = sum(len(image.blobs[digest]) for digest in image.layer_digests)
    registry = ScriptedRegistry(image, {"slow": slowly})
    reference = f"{registry.host}/slow:1"
    try:
        done, received = metric('berth_image_pulls_total{result="done"}'), metric("berth_image_pull_received_bytes_total")
        mark = node.log_mark()
        assert "pulling" not in node.berth("status").out
        pull = subprocess.Popen(node.command("pull", reference), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pattern = re.compile(rf"^pulling {re.escape(reference)}: 0/1 layers, (\d+) of {size} bytes, \d+ s, 1 caller$", re.M)
        seen = [int(eventually(lambda: pattern.search(node.berth("status").out))[1])]
        eventually(lambda: int(pattern.search(node.berth("status").out)[1]) > seen[0], 5)
        assert 0 < metric(f'berth_image_pull_received_bytes{{image="{reference}"}}') < size
        equal(metric(f'berth_image_pull_size_bytes{{image="{reference}"}}'), size, "size")
        equal(metric("berth_image_pulls_running"), 1, "running")
        equal(pull.wait(40), 0, "exit code of crictl pull")
        log = node.log_since(mark)
        assert re.search(rf"pull {re.escape(reference)}: 0/1 layers, \d+ of {size} bytes, 1\d s, 1 caller", log), log
        contains(log, f"1 of 1 layers, {size} bytes received")
        assert "pulling" not in node.berth("status").out
        equal(metric('berth_image_pulls_total{result="done"}'), done + 1, "pulls")
        equal(metric("berth_image_pull_received_bytes_total"), received + size, "bytes")
        equal(metric("berth_image_pulls_running"), 0, "running")
    finally:
        registry.close()
        node.crictl("rmi", reference, check=False)


@test
def test_a_slow_registry_holds_up_no_image_of_another(node):
    stop = threading.Event()

    def trickle(handler, kind, body, _):
        if kind != "layer":
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for begin in range(0, len(body), 10):
            handler.wfile.write(body[begin:begin + 10])
            handler.wfile.flush()
            if stop.wait(0.5):
                break
        handler.close_connection = True
        return True

    noise = bytes((i * i * 37 + i // 5) % 251 for i in range(200_000))
    shared = oci.Tree().file("n", noise).bytes()
    slow = ScriptedRegistry(oci.Image([shared], {"Cmd": ["slow"]}, gzipped=False), {"app": trickle})
    good = ScriptedRegistry(oci.Image([shared], {"Cmd": ["good"]}, gzipped=False), {})
    held = subprocess.Popen(node.command("pull", f"{slow.host}/app:1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: f"{slow.host}/app:1: 0/1 layers" in node.berth("image", "pulls").out, 10)
        eventually(lambda: any("/blobs/" in path and oci.digest(shared) in path for _, path, _, _ in slow.seen), 10)
        node.crictl("pull", f"{good.host}/app:1", timeout=20)
        contains(node.berth("image", "pulls").out, f"{slow.host}/app:1: 0/1 layers")
        contains(node.berth("image", "verify", f"{good.host}/app:1").out, "good")
    finally:
        stop.set()
        held.kill()
        held.wait()
        eventually(lambda: node.berth("image", "pulls").out == "", 10)
        slow.close()
        good.close()
        node.crictl("rmi", f"{good.host}/app:1", check=False)
    equal(list((node.root / "images" / "tmp").iterdir()), [], "unfinished layers")


def programs():
    """Names of the processes that a pull has."""
    names = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            names += [(entry / "comm").read_text().strip()] if entry.name.isdigit() else []
        except OSError:
            pass
    return sorted(name for name in names if name in ("berth-fetch", "berth-unpack"))


@test
def test_a_daemon_killed_in_the_middle_of_a_pull_leaves_nothing_behind(node):
    waiting = threading.Event()

    def half(handler, kind, body, _):
        if kind != "layer":
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:len(body) // 2])
        handler.wfile.flush()
        waiting.set()
        handler.connection.settimeout(20)
        handler.rfile.read(1)  # until the other end hangs up
        handler.close_connection = True
        return True

    noise = bytes((i * i * 31 + i // 7) % 251 for i in range(3_000_000))
    registry = ScriptedRegistry(oci.Image([oci.Tree().file("n", noise).bytes()], {}, gzipped=False), {"half": half})
    before = stored(node)
    try:
        pull = subprocess.Popen(node.command("pull", f"{registry.host}/half:1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert waiting.wait(10), "the layer was not asked for"
        eventually(lambda: len(stored(node)[1]) == 1)  # what is being unpacked
        node.kill()
        pull.wait(20)
        eventually(lambda: programs() == [], 5)
        node.start()
        equal(stored(node), before, "layers and unfinished layers")
        equal(node.berth("image", "pulls").out, "", "pulls")
        registry.faults.clear()
        works(node, registry, "half")
    finally:
        registry.close()


@test
def test_a_full_quota_is_one_clear_error_and_removal_makes_room(node):
    noise = bytes((i * i * 31 + i // 7) % 251 for i in range(900_000))
    registry = ScriptedRegistry(oci.Image([oci.Tree().file("n", noise).bytes()], {}, gzipped=False), {})
    used = int(node.json("imagefsinfo")["status"]["imageFilesystems"][0]["usedBytes"]["value"])
    try:
        with node.configured({"image": {"max_store_bytes": used + 1_000_000}}):
            node.crictl("pull", f"{registry.host}/first:1")
            other = ScriptedRegistry(oci.Image([oci.Tree().file("m", noise).bytes()], {}, gzipped=False), {})
            try:
                fails_and_leaves_nothing(node, other, "second", "ResourceExhausted")
                node.crictl("rmi", f"{registry.host}/first:1")
                works(node, other, "second")
            finally:
                other.close()
    finally:
        registry.close()


@test
def test_pinned_images_are_told_to_the_kubelet(node):
    for name, pinned in (("user-name", True), ("plain", False)):
        reference = f"{HTTP}/test/{name}:1"
        node.crictl("pull", reference)
        equal(bool(node.json("inspecti", reference)["status"].get("pinned")), pinned, name)
        node.crictl("rmi", reference)
