# SPDX-License-Identifier: Apache-2.0
"""What Berth unpacks is what GNU tar and umoci unpack, file by file: layers made of this machine's Debian packages."""
import os
import pathlib
import shutil
import subprocess

from support import environment, oci, trees
from support.suite import equal, test

HTTP = "127.0.0.1:5000"
# Between them: setuid and setgid files, file capabilities, hard links, deep trees, alternatives' links, odd names.
PACKAGES = [["base-files", "bash", "coreutils", "passwd", "util-linux", "mount"],
            ["perl-base", "git", "iputils-ping", "ca-certificates", "openssl", "libc-bin", "tzdata"],
            ["python3", "python3.11-minimal", "sqlite3", "jq", "iproute2", "nftables"]]
FORMATS = ["gnu", "pax", "pax"]


def package_files(names):
    """What dpkg says the packages hold, as far as it is there, without the content of volatile directories."""
    files = set()
    for name in names:
        listed = subprocess.run(["dpkg", "-L", name], capture_output=True, text=True)
        for line in listed.stdout.splitlines():
            # Where /bin is a link to /usr/bin its files are there.
            path = os.path.join(os.path.realpath(os.path.dirname(line)), os.path.basename(line))
            if os.path.lexists(path) and not path.startswith(("/proc", "/sys", "/run", "/tmp", "/.")):
                files.update([path, *map(str, pathlib.Path(path).parents)])
    return sorted(f.lstrip("/") for f in files if f != "/")


def archive(files, form):
    done = subprocess.run(["tar", "-c", f"--format={form}", "--no-recursion", "--numeric-owner", "--xattrs", "--xattrs-include=*",
                           "--acls", "-C", "/", "--files-from=-", "-f", "-"], input="\n".join(files).encode(), capture_output=True)
    assert done.returncode == 0 or not done.stderr, done.stderr.decode()[:1000]
    return done.stdout


def special_files(work):
    """Shapes that no package has, written by GNU tar itself."""
    root = work / "special"
    shutil.rmtree(root, ignore_errors=True)
    deep = root / "special" / ("long-" * 30) / ("name-" * 40)
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    special = root / "special"
    os.symlink("x" * 300, special / "long-link")
    with open(special / "sparse", "wb") as file:
        file.truncate(64 << 20)
        file.seek(1 << 20)
        file.write(b"island" * 1000)
        file.seek(33 << 20)
        file.write(b"second")
    (special / "ünïcode ; name\n").write_text("odd")
    (special / "setuid").write_text("s")
    os.chown(special / "setuid", 1234, 3_000_000_000)
    os.chmod(special / "setuid", 0o6751)
    for i in range(3):
        os.link(special / "setuid", special / f"hard-{i}")
    os.mkfifo(special / "fifo", 0o640)
    os.mknod(special / "null", 0o20666, os.makedev(1, 3))
    (special / "sticky").mkdir()
    os.chmod(special / "sticky", 0o3777)
    (special / "attributes").write_text("a")
    os.setxattr(special / "attributes", "user.note", b"\0binary\n=value")
    os.setxattr(special / "attributes", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    for path in (special / "attributes", special / "sparse", special):
        os.utime(path, ns=(1_500_000_000_000_000_001, 1_400_000_000_123_456_789))
    done = subprocess.run(["tar", "-c", "--format=pax", "--sparse", "--numeric-owner", "--xattrs", "--xattrs-include=*",
                           "-C", root, "-f", "-", "special"], capture_output=True, check=True)
    shutil.rmtree(root)
    return done.stdout


def later_layer():
    """Takes away and replaces what the layers before have. It lists the directories that it changes, as builders do: the
    times of others are those of the topmost layer that has something in them."""
    tree = oci.Tree()
    for directory in ("etc", "special", "usr", "usr/bin", "usr/share", "usr/share/doc"):
        tree.directory(directory)
    return (tree.whiteout("usr/bin/git").whiteout("usr/share/doc/git").directory("usr/share/zoneinfo").opaque("usr/share/zoneinfo")
            .file("usr/share/zoneinfo/new", "only").file("etc/debian_version", "changed\n", 0o600, 7, 8)
            .directory("special/sticky", 0o755).symlink("special/fifo", "null").bytes())


def images(node):
    layers = [archive(package_files(names), form) for names, form in zip(PACKAGES, FORMATS)]
    layers.append(special_files(node.work))
    image = oci.Image([*layers, later_layer()], {"Cmd": ["x"]})
    return layers, image


@test(seconds=300)
def test_layers_equal_those_of_gnu_tar_and_the_whole_equals_umocis(node):
    layers, image = images(node)
    node.images.push.image("test/packages", "1", image)
    node.crictl("pull", f"{HTTP}/test/packages:1")
    place = environment.STORE / "trees"
    place.mkdir()
    try:
        ours = [node.root / "images" / "layers" / d.removeprefix("sha256:") / "fs" for d in image.diff_ids]
        for number, (layer, our) in enumerate(zip(layers, ours)):
            theirs = place / f"layer-{number}"
            theirs.mkdir()
            subprocess.run(["tar", "-x", "-p", "--delay-directory-restore", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls",
                            "-C", theirs, "-f", "-"],
                           input=layer, check=True, capture_output=True)
            check_equal(our, theirs, f"layer {number}", ignore_root=True)
        whole_equals_umoci(image, ours, place)
    finally:
        shutil.rmtree(place)
        node.crictl("rmi", f"{HTTP}/test/packages:1")


def whole_equals_umoci(image, ours, place):
    layout = image.write_layout(place / "layout", "1")
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:1", place / "bundle"], check=True, capture_output=True)
    merged = place / "merged"
    merged.mkdir()
    environment.mount("overlay", merged, "overlay", 1, "lowerdir=" + ":".join(map(str, reversed(ours))))
    try:
        # umoci writes holes out.
        check_equal(merged, place / "bundle" / "rootfs", "the whole", ignore_root=True, ignore=("sparse",))
    finally:
        environment.umount(merged)


def check_equal(our, theirs, what, ignore_root=False, ignore=()):
    mine, other = trees.describe(our), trees.describe(theirs)
    assert len(mine) > 5, f"{what}: nothing to compare"
    if ignore_root:  # no layer describes it: what tar finds there is this test's own directory
        mine.pop("/"), other.pop("/")
    for entry in [*mine.values(), *other.values()]:
        for key in ignore:
            entry.pop(key, None)
    equal("\n".join(trees.differences(mine, other)), "", f"{what}: {len(mine)} files")
