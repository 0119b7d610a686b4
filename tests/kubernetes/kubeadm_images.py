# SPDX-License-Identifier: Apache-2.0
"""The images that kubeadm asks registry.k8s.io for, of programs that are built here, in the suite's registry."""
import pathlib
import re
import subprocess

from support import oci

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
PATH = {"Env": [oci.PATH]}


def _tree():
    tree = oci.Tree()
    for name in ("tmp", "usr", "usr/local", "usr/local/bin"):
        tree.directory(name)
    return tree


def _control_plane(programs):
    """One program under four names: the images have their one layer in common."""
    tree = _tree().file("usr/local/bin/kubernetes", (programs / "kubernetes").resolve().read_bytes(), 0o755)
    for name in CONTROL_PLANE:
        tree.symlink(f"usr/local/bin/{name}", "kubernetes")
    return oci.Image([tree.bytes()], PATH)


def _with_libraries(tree, program):
    """A dynamic program of this machine, with what its loader finds for it."""
    tree.file(str(program)[1:], program.read_bytes(), 0o755)
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in sorted(set(re.findall(r"(?:=> )?(/\S+) \(0x", listed))):
        tree.file(path[1:], pathlib.Path(path).read_bytes(), 0o755)
    return tree


def _kube_proxy(programs):
    tree = _tree().file("usr/local/bin/kube-proxy", (programs / "kube-proxy").read_bytes(), 0o755)
    return oci.Image([_with_libraries(tree, pathlib.Path("/usr/sbin/nft")).bytes()], PATH)


def _coredns(program):
    return oci.Image([_tree().file("coredns", program.read_bytes(), 0o755).bytes()], {**PATH, "Entrypoint": ["/coredns"]})


def push_control_plane(host, programs, coredns, names):
    """`names`: what `kubeadm config images list` says."""
    push, control_plane = oci.Push(host), _control_plane(programs)
    for name in names:
        repository, _, tag = name.partition("/")[2].rpartition(":")
        if repository in CONTROL_PLANE:
            image = control_plane
        elif repository == "kube-proxy":
            image = _kube_proxy(programs)
        elif repository == "coredns/coredns":
            image = _coredns(coredns)
        elif repository == "pause":  # pulled by kubeadm, not used by Berth
            image = oci.Image([_tree().bytes()], PATH)
        else:
            raise AssertionError(f"kubeadm wants an image that is not made here: {name}")
        push.image(repository, tag, image)
