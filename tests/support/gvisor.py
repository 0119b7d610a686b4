# SPDX-License-Identifier: Apache-2.0
"""gVisor's runsc as a handler of a node under test, with the flags that it needs on this machine."""
import subprocess

from . import tools
from .suite import Skip

# The pod's network namespace is used as it is: what listens there is reached by port-forward as in any other pod, and the
# containers of a pod share it. --overlay2=none: files go where those of other containers go, and are measured there.
ARGUMENTS = ["--network=host", "--overlay2=none"]


def handler():
    """The handler's section of the configuration. Of runsc's platforms the first that works here is taken; they differ in
    what they need of the machine. Skip says why none does."""
    program, said = tools.runsc(), []
    if program is None:
        raise Skip("no runsc: neither on PATH nor to be had from bookworm-backports")
    for platform in ("systrap", "ptrace"):
        done = subprocess.run([program, f"--platform={platform}", "--network=none", "--ignore-cgroups", "do", "/bin/true"],
                              capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            return {"runtime.handlers.runsc": {"path": str(program), "args": [f"--platform={platform}", *ARGUMENTS]}}
        said.append(f"{platform}: {done.stderr.strip()[-300:]}")
    raise Skip("runsc cannot run on this machine: " + "; ".join(said))
