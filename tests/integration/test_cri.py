# SPDX-License-Identifier: Apache-2.0
"""The CRI itself: our descriptor against the published ones, and clients of each version that is served."""
import pathlib
import re
import subprocess
import tempfile

from support import tools
from support.suite import contains, equal, test

IMAGE = "127.0.0.1:5000/test/command:1"

# Calls of v1alpha2 that are not there yet.


def published(module, package):
    """What a published .proto says, as lines."""
    source = tools.go_source(module, "k8s.io/cri-api") / f"pkg/apis/runtime/{package}/api.proto"
    with tempfile.TemporaryDirectory() as work:
        # An option for printing that Debian's protoc does not know.
        text = re.sub(r"\s*\[debug_redact = true\]", "", source.read_text())
        pathlib.Path(work, "api.proto").write_text(text)
        include = ["-I", work]
        if package == "v1alpha2":  # it was made for another generator, whose options it imports
            gogo = tools.go_source(module, "github.com/gogo/protobuf")
            subprocess.run(f"mkdir -p {work}/github.com/gogo && ln -s {gogo} {work}/github.com/gogo/protobuf", shell=True, check=True)
            include += ["-I", "/usr/include"]
        subprocess.run(["protoc", *include, "--include_imports", f"--descriptor_set_out={work}/set", "api.proto"], check=True)
        return descriptor(f"{work}/set")


def descriptor(*arguments):
    done = subprocess.run([tools.berth_binary("cri_descriptor"), *arguments], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines())


@test
def test_our_cri_is_the_published_one_thing_for_thing(node):
    ours, theirs = descriptor(), published("cri_v1", "v1")
    assert len(theirs) > 850, f"only {len(theirs)} things in the published descriptor"
    equal((sorted(theirs - ours), sorted(ours - theirs)), ([], []), "what we lack, and what we have made up")


@test
def test_v1alpha2_is_v1_with_less_in_it(node):
    """So that the handlers of v1 can serve it: no field has another number, name or type."""
    ours, theirs = descriptor(), published("cri_v1alpha2", "v1alpha2")
    assert len(theirs) > 500, f"only {len(theirs)} things in the published descriptor"
    # Bytes are what a string is on the wire, and may hold more.
    equal(theirs - ours, {"field KeyValue: string value = 2"}, "what v1alpha2 has that v1 has not")
    contains(ours, "field KeyValue: bytes value = 2")


@test(seconds=180)
def test_a_client_of_v1alpha2_is_served(node):
    client = tools.go_program("cri_v1alpha2")
    logs = node.logs / "old"
    logs.mkdir()
    done = subprocess.run([client, f"{node.state}/berth.sock", IMAGE, logs], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = {line.split("(")[0].split(".")[1] for line in published("cri_v1alpha2", "v1alpha2") if line.startswith("rpc ")}
    reached = {line.split()[1] for line in done.stdout.splitlines()}
    equal(calls - reached, set(), "calls of v1alpha2 that the client does not make")
    contains((logs / "main.log").read_text(), "stdout F begun")


@test
def test_what_came_after_v1alpha2_has_no_name_there(node):
    calls = {line.removeprefix("rpc ").split("(")[0].replace(".", "/") for line in descriptor() - published("cri_v1alpha2", "v1alpha2")
             if line.startswith("rpc ")}
    contains(calls, "RuntimeService/RuntimeConfig", "ImageService/StreamImages")
    client = tools.go_program("cri_v1alpha2")
    done = subprocess.run([client, f"{node.state}/berth.sock", "unimplemented", *sorted(calls)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@test
def test_rule_40_a_stream_tells_what_its_list_tells(node):
    client = tools.go_program("cri_v1")
    with node.pod() as one, node.pod() as other:
        for pod in (one, other):
            pod.run()
            pod.create(["true"], name="created")
        done = subprocess.run([client, f"{node.state}/berth.sock"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        contains(done.stdout, "StreamPodSandboxes: 2 items in 1 messages", "StreamContainers: 4 items in 1 messages",
                 "StreamImages: 1 items in 1 messages", "StreamContainerStats: 2 items in 1 messages",
                 "StreamPodSandboxStats: 2 items in 1 messages", "StreamPodSandboxMetrics: 2 items in 1 messages")
