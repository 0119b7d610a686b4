# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear error with the right gRPC code, and nothing left behind (the suite compares after every test)."""
import json
import os
import subprocess
import time

from support import tools
from support.node import Container
from support.registry import write_hosts
from support.suite import contains, equal, test
from test_network import BRIDGE, cni

HTTP = "127.0.0.1:5000"
NONE = "0123456789abcdef" * 4


def refused_pull(node, name, code, parts, timeout=60):
    layers = set(os.listdir(node.root / "layers")) if (node.root / "layers").is_dir() else set()
    reference = name if "/" in name else f"{HTTP}/test/{name}:1"
    node.refused("pull", reference, code=code, parts=parts, timeout=timeout)
    assert node.crictl("inspecti", reference, check=False).code != 0, "an image that was refused is there"
    now = set(os.listdir(node.root / "layers")) if (node.root / "layers").is_dir() else set()
    # Good layers of a bad image may stay for the next pull, but nothing half done.
    assert not [n for n in now - layers if "tmp" in n or "part" in n], now - layers


def refused_pod(node, code, parts, handler=None, **fields):
    config = node.file(node.pod_config(**fields))
    node.refused("runp", *(["-r", handler] if handler else []), config, code=code, parts=parts)
    equal(node.ids("pods"), [], "pods")


def refused_container(node, code, parts, **fields):
    with node.pod() as pod:
        config = node.file(node.container_config(fields.pop("command", ["true"]), **fields))
        node.refused("create", "--no-pull", pod.id, config, pod.path, code=code, parts=parts)
        equal(node.ids("ps", "-a"), [], "containers")


# ---------------------------------------------------------------------- pods
@test
def test_unknown_handler(node):
    refused_pod(node, "NotFound", ["nosuch", "not configured"], handler="nosuch")


@test
def test_pod_without_metadata(node):
    config = node.pod_config()
    del config["metadata"]
    result = node.crictl("runp", node.file(config), check=False)
    assert result.code != 0, result.text


@test
def test_pod_config_with_impossible_values(node):
    refused_pod(node, "InvalidArgument", "hostname", hostname="a b")
    refused_pod(node, "InvalidArgument", "port", port_mappings=[{"container_port": 80, "host_port": 70000}])
    refused_pod(node, "InvalidArgument", "is no address", port_mappings=[{"container_port": 80, "host_port": 8082, "host_ip": "zz"}])
    refused_pod(node, "InvalidArgument", "dns", dns_config={"servers": ["1.2.3.4\nnameserver 6.6.6.6"]})
    refused_pod(node, "InvalidArgument", "sysctl", linux={"sysctls": {"kernel.panic": "1"}})
    refused_pod(node, "InvalidArgument", "cgroup_parent", linux={"cgroup_parent": "/../../x"})
    refused_pod(node, "InvalidArgument", "log", log_directory="relative/path")


@test
def test_malformed_cni_configuration(node):
    with cni(node, "10-bad.conflist", '{"cniVersion": "1.0.0", "name": "bad", "plugins": [{"type": '):
        refused_pod(node, "FailedPrecondition", ["10-bad.conflist"])
        conditions = {c["type"]: c for c in node.json("info")["status"]["conditions"]}
        equal(conditions["NetworkReady"]["status"], False, "NetworkReady")
        contains(conditions["NetworkReady"]["message"], "10-bad.conflist")
    with node.pod():
        pass  # it works again at once


@test
def test_missing_cni_plugin(node):
    with cni(node, "10-missing.conflist", {"cniVersion": "1.0.0", "name": "m", "plugins": [{"type": "no-such-plugin"}]}):
        refused_pod(node, "FailedPrecondition", "no-such-plugin")


@test
def test_failing_cni_plugin_is_undone(node):
    chain = {**BRIDGE, "plugins": [*BRIDGE["plugins"][:1], {"type": "tuning", "sysctl": {"net.no.such": "1"}}]}
    with cni(node, "10-fail.conflist", chain):
        result = node.crictl("runp", node.file(node.pod_config()), check=False)
        assert result.code != 0 and "tuning" in result.text, result.text
        leases = "/var/lib/cni/networks/ours"
        equal([n for n in os.listdir(leases) if n[0].isdigit() or ":" in n], [], "leases")
    subprocess.run("ip link del ours0; rm -rf /var/lib/cni/networks /var/lib/cni/cache; nft flush ruleset", shell=True,
                   capture_output=True)


@test
def test_plugin_name_that_is_a_path_is_refused(node):
    with cni(node, "10-path.conflist", {"cniVersion": "1.0.0", "name": "p", "plugins": [{"type": "../../bin/sh"}]}):
        result = node.crictl("runp", node.file(node.pod_config()), check=False)
        assert result.code != 0 and "../../bin/sh" in result.text, result.text


# ---------------------------------------------------------------------- containers
@test
def test_container_of_an_image_that_was_not_pulled(node):
    refused_container(node, "NotFound", "127.0.0.1:5000/test/absent:1", image="127.0.0.1:5000/test/absent:1")


@test
def test_container_config_with_impossible_values(node):
    refused_container(node, "InvalidArgument", "run_as_group", security={"run_as_group": {"value": 5}})
    refused_container(node, "InvalidArgument", "NO_SUCH_CAP", security={"capabilities": {"add_capabilities": ["NO_SUCH_CAP"]}})
    refused_container(node, "NotFound", "nobody-knows", security={"run_as_username": "nobody-knows"})
    refused_container(node, "InvalidArgument", "log_path", log_path="../../outside.log")
    refused_container(node, "InvalidArgument", "localhost_ref", security={"seccomp": {"profile_type": 2, "localhost_ref": ""}})


@test
def test_seccomp_profile_that_is_malformed_or_missing(node):
    bad = node.file('{"defaultAction": ')
    with node.pod() as pod:
        for path in (str(bad), "/no/such/profile.json"):
            config = node.container_config(["true"], security={"seccomp": {"profile_type": 2, "localhost_ref": path}})
            result = node.crictl("create", pod.id, node.file(config), pod.path, check=False)
            assert result.code != 0 and os.path.basename(path) in result.text, result.text
        equal(node.ids("ps", "-a"), [], "containers")


@test
def test_rule_18_missing_command_is_a_start_error(node):
    for handler in ("crun", "runc"):
        with node.pod(handler=handler) as pod:
            for number, command in enumerate(("/no/such/command", "no-such-command", "/etc/passwd")):
                config = node.file(node.container_config([command], name=f"c{number}"))
                identifier = node.crictl("create", pod.id, config, pod.path).out.strip()
                container = Container(pod, identifier, f"c{number}")
                equal(container.state(), "CREATED", "state")
                if number == 1:
                    node.restart()
                node.refused("start", identifier, code="FailedPrecondition", parts="exec")
                status = container.status()
                equal((status["state"], status["exitCode"], status["reason"]), ("CONTAINER_EXITED", 128, "StartError"), "status")
                contains(status["message"], "exec")
                node.crictl("rm", identifier)


@test
def test_container_without_any_command(node):
    node.crictl("pull", f"{HTTP}/test/web:1")
    with node.pod() as pod:
        config = node.container_config(None, image=f"{HTTP}/test/web:1", args=[])
        identifier = node.crictl("create", pod.id, node.file(config), pod.path).out.strip()  # the image has one
        node.crictl("rm", identifier)
        config = node.container_config([""])
        result = node.crictl("create", pod.id, node.file(config), pod.path, check=False)
        if result.code == 0:
            assert node.crictl("start", result.out.strip(), check=False).code != 0
    node.crictl("rmi", f"{HTTP}/test/web:1")


@test
def test_rule_18_container_in_a_stopped_pod(node):
    with node.pod() as pod:
        node.crictl("stopp", pod.id)
        node.refused("create", pod.id, node.file(node.container_config(["true"])), pod.path, code="FailedPrecondition",
                     parts="not ready")


@test
def test_rule_18_starting_twice(node):
    with node.pod() as pod:
        container = pod.run()
        node.refused("start", container.id, code="FailedPrecondition", parts="running")


@test
def test_exec_in_a_container_that_does_not_run(node):
    with node.pod() as pod:
        container = pod.run(["true"])
        container.wait_exit()
        node.refused("exec", "-s", container.id, "true", code="FailedPrecondition", parts="not running")


@test
def test_volume_whose_source_is_missing_is_made_or_refused(node):
    path = node.work / "missing-volume"
    with node.pod() as pod:
        mounts = [{"container_path": "/vol", "host_path": str(path)}]
        result = node.crictl("create", pod.id, node.file(node.container_config(["true"], mounts=mounts)), pod.path, check=False)
        assert result.code == 0 and path.is_dir() or str(path) in result.text, result.text
    if path.exists():
        path.rmdir()


# ---------------------------------------------------------------------- unknown ids
@test
def test_rule_2_unknown_ids_are_not_found_for_questions(node):
    for arguments in (("inspect", NONE), ("inspectp", NONE), ("exec", "-s", NONE, "true"), ("start", NONE)):
        node.refused(*arguments, code="NotFound")


@test
def test_rule_1_unknown_ids_are_gone_already_for_removals(node):
    for arguments in (("stop", NONE), ("stopp", NONE), ("rmp", NONE), ("rm", NONE)):
        result = node.crictl(*arguments, check=False)
        # crictl asks for the status first for some of these; the daemon itself must never say more than NotFound.
        assert result.code == 0 or "NotFound" in result.text, result.text
    done = node.crictl("inspecti", f"{HTTP}/test/absent:1", check=False)
    contains(done.text, "no such image")


@test
def test_rule_3_lists_that_match_nothing_are_empty(node):
    equal(node.ids("ps", "-a", "--id", NONE), [], "containers")
    equal(node.ids("pods", "--id", NONE), [], "pods")
    equal(node.ids("pods", "--label", "a=b"), [], "by label")


# ---------------------------------------------------------------------- images
@test
def test_image_that_the_registry_does_not_have(node):
    refused_pull(node, "absent", "NotFound", "test/absent")


@test
def test_rule_13_unreachable_registry(node):
    began = time.monotonic()
    refused_pull(node, "127.0.0.1:5999/test/busybox:1", "Unavailable", ["RegistryUnavailable", "127.0.0.1:5999"])
    assert time.monotonic() - began < 30


@test
def test_registry_whose_authority_is_unknown(node):
    write_hosts(node.certs, "localhost:5443", "https://localhost:5443")
    result = node.crictl("pull", "localhost:5443/test/ours:1", check=False)
    assert result.code != 0 and "certificate" in result.text.lower(), result.text
    (node.certs / "localhost:5443" / "hosts.toml").unlink()
    (node.certs / "localhost:5443").rmdir()


@test
def test_malformed_hosts_toml(node):
    directory = node.certs / "127.0.0.1:5998"
    directory.mkdir()
    (directory / "hosts.toml").write_text("server = [1\n")
    refused_pull(node, "127.0.0.1:5998/test/busybox:1", "FailedPrecondition", "hosts.toml")
    (directory / "hosts.toml").unlink()
    directory.rmdir()


@test
def test_corrupt_layer(node):
    refused_pull(node, "corrupt-layer", "DataLoss", "sha256:")


@test
def test_layer_that_ends_early(node):
    result = node.crictl("pull", f"{HTTP}/test/short-layer:1", check=False)
    assert result.code != 0 and ("DataLoss" in result.text or "Unavailable" in result.text), result.text


@test
def test_manifest_that_is_not_what_its_digest_says(node):
    refused_pull(node, f"{HTTP}/test/wrong-manifest@{node.images.wrong_manifest_digest}", "DataLoss", "digest")


@test
def test_config_that_is_not_what_its_digest_says(node):
    refused_pull(node, "wrong-config", "DataLoss", "digest")


@test
def test_layer_that_is_not_what_the_config_says(node):
    refused_pull(node, "wrong-diff-id", "DataLoss", "diff_id")


@test
def test_layer_that_is_no_archive(node):
    result = node.crictl("pull", f"{HTTP}/test/not-a-tar:1", check=False)
    assert result.code != 0 and ("InvalidArgument" in result.text or "DataLoss" in result.text), result.text


@test
def test_malformed_reference(node):
    refused_pull(node, "127.0.0.1:5000/Test//x:1", "InvalidArgument", "Test//x")


@test
def test_image_for_another_architecture_only(node):
    result = node.crictl("pull", f"{HTTP}/test/other-architecture:1", check=False)
    if result.code == 0:  # a single manifest names no platform outside its config: accepting it is what others do
        node.crictl("rmi", f"{HTTP}/test/other-architecture:1")


@test
def test_import_of_something_that_is_no_image(node):
    path = node.file("not an image")
    result = node.berth("image", "import", path, check=False)
    assert result.code != 0 and "archive" in result.text, result.text
    result = node.berth("image", "import", "/no/such/file", check=False)
    contains(result.text, "/no/such/file")


# ---------------------------------------------------------------------- the daemon's own configuration
def start_with(node, text):
    path = node.work / "bad.toml"
    path.write_text(text)
    return subprocess.run([tools.berth_binary("berthd"), "--config", path], capture_output=True, text=True, timeout=20)


@test
def test_malformed_configuration_names_file_and_line(node):
    for text, line, part in (('root = "/x"\nstate = \n', 2, ""), ('\n[runtime]\ncgroup_drivr = "cgroupfs"\n', 3, "cgroup_driver"),
                             ("log_level = 3\n", 1, "log_level"), ('\n\nlog_level = "loud"\n', 3, "loud"),
                             ("[image]\nparallel_layers = 0\n", 2, "parallel_layers")):
        done = start_with(node, text)
        assert done.returncode != 0, f"started with {text!r}"
        contains(done.stderr + done.stdout, "bad.toml", f"line {line}", part)


@test
def test_configuration_file_that_is_missing(node):
    done = subprocess.run([tools.berth_binary("berthd"), "--config", "/no/such.toml"], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0
    contains(done.stderr + done.stdout, "/no/such.toml")


@test
def test_printed_default_configuration_is_accepted(node):
    done = subprocess.run([tools.berth_binary("berthd"), "--print-default-config"], capture_output=True, text=True, timeout=20)
    equal(done.returncode, 0, "exit code")
    # Its directories are the running daemon's: the lock must refuse the second daemon, and not the text.
    text = done.stdout.replace("/var/lib/berth", str(node.root)).replace("/run/berth", str(node.state))
    second = start_with(node, text)
    assert second.returncode != 0
    assert "bad.toml" not in second.stderr + second.stdout, second.stderr
    node.crictl("version")


@test
def test_json_that_crictl_prints_is_json(node):
    with node.pod() as pod:
        container = pod.run(envs=[{"key": "UTF8", "value": "ä€\"\\"}])
        json.dumps(container.inspect())
