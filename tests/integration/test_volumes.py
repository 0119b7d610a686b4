# SPDX-License-Identifier: Apache-2.0
"""Volumes: read-only, propagation in both directions, what must not go wrong at their source."""
import contextlib
import shutil
import subprocess

from support.suite import contains, equal, eventually, test

PRIVATE, HOST_TO_CONTAINER, BIDIRECTIONAL = 0, 1, 2


@contextlib.contextmanager
def volume(node, shared=False):
    """A directory on the host; shared: a mount point of its own that propagates."""
    path = node.work / "volume"
    path.mkdir()
    (path / "file").write_text("from the host\n")
    try:
        if shared:
            subprocess.run(["mount", "--bind", path, path], check=True)
            subprocess.run(["mount", "--make-shared", path], check=True)
        yield path
    finally:
        if shared:
            subprocess.run(["umount", "-R", path], check=True)
        shutil.rmtree(path)


def mount(path, **fields):
    return {"container_path": "/vol", "host_path": str(path), **fields}


@test
def test_volume_is_writable_unless_read_only(node):
    with volume(node) as path, node.pod() as pod:
        container = pod.run(mounts=[mount(path)])
        container.sh("cat /vol/file; echo written > /vol/new")
        equal((path / "new").read_text(), "written\n", "on the host")
        reader = pod.run(mounts=[mount(path, readonly=True)], name="reader")
        equal(reader.sh("cat /vol/new").strip(), "written", "read")
        contains(reader.exec("sh", "-c", "echo x > /vol/other", check=False).text, "Read-only")
        equal(container.status()["mounts"][0]["hostPath"], str(path), "status tells the volume")


@test
def test_rule_37_recursive_read_only_reaches_mounts_below(node):
    with volume(node) as path, node.pod() as pod:
        (path / "sub").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", path / "sub"], check=True)
        try:
            plain = pod.run(mounts=[mount(path, readonly=True)], name="plain")
            plain.sh("touch /vol/sub/a")
            whole = pod.run(mounts=[mount(path, readonly=True, recursive_read_only=True)], name="whole")
            contains(whole.exec("touch", "/vol/sub/b", check=False).text, "Read-only")
            bad = [mount(path, recursive_read_only=True),
                   mount(path, readonly=True, recursive_read_only=True, propagation=HOST_TO_CONTAINER)]
            for number, fields in enumerate(bad):
                config = node.container_config(["true"], name=f"bad-{number}", mounts=[fields])
                node.refused("create", pod.id, node.file(config), pod.path, code="InvalidArgument", parts="recursive_read_only")
        finally:
            subprocess.run(["umount", path / "sub"], check=True)


@test
def test_handlers_announce_recursive_read_only_mounts(node):
    handlers = node.json("info")["runtimeHandlers"]
    assert handlers and all(h["features"]["recursive_read_only_mounts"] for h in handlers), handlers


@test
def test_single_file_can_be_a_volume(node):
    with volume(node) as path, node.pod() as pod:
        container = pod.run(mounts=[{"container_path": "/etc/given", "host_path": str(path / "file"), "readonly": True}])
        equal(container.sh("cat /etc/given").strip(), "from the host", "content")


@test
def test_source_that_is_a_symlink_is_followed_on_the_host(node):
    with volume(node) as path, node.pod() as pod:
        link = node.work / "link"
        link.symlink_to(path)
        equal(pod.run(mounts=[mount(link)]).sh("cat /vol/file").strip(), "from the host", "content")
        link.unlink()


@test
def test_target_that_is_a_symlink_in_the_image_stays_inside(node):
    with volume(node) as path, node.pod() as pod:
        container = pod.run(mounts=[{"container_path": "/data/link", "host_path": str(path / "file")}])
        contains(container.sh("cat /data/kept /data/link"), "from the host")


@test
def test_private_volume_hears_nothing_from_the_host(node):
    with volume(node, shared=True) as path, node.pod() as pod:
        (path / "sub").mkdir()
        container = pod.run(mounts=[mount(path, propagation=PRIVATE)])
        subprocess.run(["mount", "-t", "tmpfs", "none", path / "sub"], check=True)
        (path / "sub" / "mark").write_text("x")
        equal(container.sh("ls /vol/sub").strip(), "", "inside")


@test
def test_host_to_container_volume_hears_the_host_only(node):
    with volume(node, shared=True) as path, node.pod() as pod:
        (path / "sub").mkdir()
        (path / "back").mkdir()
        container = pod.run(mounts=[mount(path, propagation=HOST_TO_CONTAINER)],
                            security={"capabilities": {"add_capabilities": ["SYS_ADMIN"]}})
        subprocess.run(["mount", "-t", "tmpfs", "none", path / "sub"], check=True)
        (path / "sub" / "mark").write_text("x")
        equal(container.sh("ls /vol/sub").strip(), "mark", "inside")
        container.sh("mount -t tmpfs none /vol/back && touch /vol/back/mark")
        equal(list((path / "back").iterdir()), [], "on the host")


@test
def test_bidirectional_volume_goes_both_ways(node):
    with volume(node, shared=True) as path, node.pod(security={"privileged": True}) as pod:
        (path / "sub").mkdir()
        (path / "back").mkdir()
        container = pod.run(mounts=[mount(path, propagation=BIDIRECTIONAL)], security={"privileged": True})
        subprocess.run(["mount", "-t", "tmpfs", "none", path / "sub"], check=True)
        (path / "sub" / "mark").write_text("x")
        equal(container.sh("ls /vol/sub").strip(), "mark", "host to container")
        container.sh("mount -t tmpfs none /vol/back && touch /vol/back/mark")
        equal([p.name for p in (path / "back").iterdir()], ["mark"], "container to host")


@test
def test_bidirectional_volume_on_a_mount_that_does_not_propagate_is_refused(node):
    with volume(node, shared=True) as path, node.pod(security={"privileged": True}) as pod:
        subprocess.run(["mount", "--make-private", path], check=True)
        config = node.container_config(["true"], mounts=[mount(path, propagation=BIDIRECTIONAL)], security={"privileged": True})
        result = node.crictl("create", pod.id, node.file(config), pod.path, check=False)
        assert result.code != 0 and str(path) in result.text, result.text


@test
def test_volume_can_be_unmounted_on_the_host_while_a_container_uses_it(node):
    with volume(node, shared=True) as path, node.pod() as pod:
        (path / "sub").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", path / "sub"], check=True)
        (path / "sub" / "mark").write_text("x")
        container = pod.run(mounts=[mount(path)])
        equal(container.sh("ls /vol/sub").strip(), "mark", "inside")
        eventually(lambda: subprocess.run(["umount", path / "sub"], capture_output=True).returncode == 0, seconds=5)


@test
def test_rule_23_termination_message_file_is_written_through(node):
    with volume(node) as path, node.pod() as pod:
        (path / "message").write_text("")
        container = pod.run(["sh", "-c", "echo goodbye > /dev/termination-log"],
                            mounts=[{"container_path": "/dev/termination-log", "host_path": str(path / "message")}])
        container.wait_exit()
        equal((path / "message").read_text(), "goodbye\n", "message")


@test
def test_many_volumes_in_one_container(node):
    with volume(node) as path, node.pod() as pod:
        mounts = []
        for number in range(40):
            (path / str(number)).mkdir()
            (path / str(number) / "n").write_text(str(number))
            mounts.append({"container_path": f"/many/{number}/x", "host_path": str(path / str(number)), "readonly": bool(number % 2)})
        container = pod.run(mounts=mounts)
        equal(container.sh("cat /many/*/x/n | wc -c").strip(), "70", "bytes of all")
