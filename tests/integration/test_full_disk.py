# SPDX-License-Identifier: Apache-2.0
"""A store on a full disk: a pull says so and leaves nothing, removal works, and with room again so does the next pull."""
import contextlib
import errno
import os

from support import environment, oci
from support.scripted_registry import ScriptedRegistry
from support.suite import Skip, contains, equal, test
from test_faulty_registries import fails_and_leaves_nothing, works

OURS = "127.0.0.1:5000/test/ours:1"
LAYER = 64 << 20


def free():
    disk = os.statvfs(environment.STORE)
    return disk.f_bfree * disk.f_frsize


@contextlib.contextmanager
def full_disk(left):
    """The store's file system with that many bytes to spare, or fewer."""
    with open("/proc/self/mounts") as mounts:
        if not any(line.split()[1:3] == [str(environment.STORE), "ext4"] for line in mounts):
            raise Skip("the store has no disk of its own: without loop devices it is in the machine's memory, which no test fills")
    filler = environment.STORE / "filler"
    try:
        with open(filler, "wb") as file:
            size, step = 0, free() - left
            while step >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
                    step = free() - left
                except OSError as error:
                    equal(error.errno, errno.ENOSPC, "errno")
                    step //= 2
        yield
    finally:
        filler.unlink(missing_ok=True)


def registry():
    return ScriptedRegistry(oci.Image([oci.Tree().file("noise", os.urandom(LAYER)).bytes()], {}, gzipped=False), {})


@test(seconds=120)
def test_a_layer_that_does_not_fit_on_the_disk_is_one_clear_error(node):
    source = registry()
    try:
        with full_disk(LAYER // 4):
            before = free()
            for _ in range(2):
                fails_and_leaves_nothing(node, source, "large", "ResourceExhausted", "No space left on device")
            assert abs(free() - before) < 1 << 20, f"{before - free()} bytes are still used"
        works(node, source, "large")
    finally:
        source.close()


@test(seconds=120)
def test_images_can_be_listed_and_removed_on_a_disk_without_a_free_block(node):
    source = registry()
    node.crictl("pull", OURS)
    try:
        with full_disk(0):
            fails_and_leaves_nothing(node, source, "large", "ResourceExhausted", "No space left on device")
            contains(node.crictl("images").out, "test/ours")
            node.crictl("rmi", OURS)
            assert "test/ours" not in node.crictl("images").out, "the image is still there"
        works(node, source, "large")
        node.crictl("pull", OURS)
    finally:
        source.close()
        node.crictl("rmi", OURS)
