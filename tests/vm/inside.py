# SPDX-License-Identifier: Apache-2.0
"""Inside the virtual machine: one part of ./test vm.   inside.py PART [ARGUMENT...]"""
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "integration")]

import guest
from support import suite
from support.snapshot import Snapshot, of_the_node_itself

# The last three are parts of tests/integration: what differs between kernels, versions of cgroups and their drivers.
MODULES = {"unit": "test_unit", "limits": "test_limits", "update": "test_update", "stats": "test_stats",
           "quota": "test_resources"}


def configure(driver="auto"):
    guest.UnitNode(driver).install_config()
    return 0


def tests(name, *only):
    """The functions of test_<name>.py; each must leave the machine as it was."""
    node = guest.UnitNode()
    __import__(MODULES[name])
    node.crictl("pull", "127.0.0.1:5000/test/busybox:1")
    if name == "limits":  # the others pull it when they want it
        node.crictl("pull", "127.0.0.1:5000/test/web:1")
    else:
        node.crictl("rmi", "127.0.0.1:5000/test/web:1", check=False)
    clean = Snapshot([node.state, "/run/netns", "/var/lib/cni", node.root / "containers"])
    return suite.run_tests(node, lambda _: nothing_left(clean), only).finish()


def nothing_left(clean):
    clean.assert_nothing_added(changes_by_itself, seconds=20)
    scopes = [line for line in guest.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "crio-*.scope").splitlines()]
    assert not scopes, f"left behind: {scopes}"


def changes_by_itself(kind, value):
    """What a machine with an init system does meanwhile: its own services come and go, kernel threads too."""
    if of_the_node_itself(kind, value):
        return True
    if kind == "process":
        words = value.split()
        return "/" not in value or any(name in value for name in ("systemd", "berth-agent", "inside.py")) or words[1].startswith("kworker")
    return kind == "cgroup" and not any(mark in value for mark in ("berth", "kubepods"))


def main():
    part, arguments = sys.argv[1], sys.argv[2:]
    if part == "configure":
        return configure(*arguments)
    if part in MODULES:
        return tests(part, *arguments)
    module = __import__(f"part_{part}")
    return module.main(*arguments)


if __name__ == "__main__":
    sys.exit(main())
