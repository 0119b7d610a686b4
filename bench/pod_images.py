# SPDX-License-Identifier: Apache-2.0
"""The images of bench/run and bench/kubelet: a container that sleeps or writes lines, and the pause image of a peer."""
import pathlib
import subprocess
import tempfile

from support import oci
from session import HOST

SPEW_SOURCE = pathlib.Path(__file__).resolve().with_name("spew.c")
PAUSE_SOURCE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


def push(work):
    registry = oci.Push(HOST)
    with tempfile.TemporaryDirectory(dir=work) as directory:
        def program(name, source):
            path = pathlib.Path(directory) / name
            subprocess.run(["gcc", "-Os", "-static", "-s", "-x", "c", "-o", path, "-"], input=source, text=True, check=True)
            return oci.Tree().file(name, path.read_bytes(), 0o755).bytes()
        layer = program("pause", PAUSE_SOURCE)
        spew = program("spew", SPEW_SOURCE.read_text())
    registry.image("bench/sleeper", "1", oci.Image([oci.busybox_tree().bytes(), spew], {"Cmd": ["sh"]}))
    registry.image("bench/pause", "1", oci.Image([layer], {"Entrypoint": ["/pause"]}))
