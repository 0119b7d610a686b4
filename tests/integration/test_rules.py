# SPDX-License-Identifier: Apache-2.0
"""Rules of docs/cri-rules.md that no other test here shows."""
import subprocess

from support.suite import contains, equal, eventually, test

HTTP, HTTPS = "127.0.0.1:5000", "127.0.0.1:5443"
TEMPLATE = ("{{.containerEventType}} {{.containerId}} {{.podSandboxStatus.metadata.uid}} {{.createdAt}}"
            "{{range .containersStatuses}} {{.id}} {{.state}}{{end}}")


@test
def test_rule_7_pull_list_and_status_name_an_image_alike_whatever_its_registry(node):
    for registry in (HTTP, HTTPS):
        reference = f"{registry}/test/plain:1"
        pulled = node.crictl("pull", reference).out.split()[-1]
        with node.pod() as pod:
            container = pod.run(image=reference)
            listed = node.json("ps", "-o", "json")["containers"][0]
            names = (pulled, node.json("inspecti", reference)["status"]["id"], listed["imageId"], container.status()["imageId"])
            equal(set(names), {node.images.plain.id}, "names of the image")
    node.crictl("rmi", node.images.plain.id)


@test
def test_rule_10_removals_at_the_same_time_all_succeed(node):
    for registry in (HTTP, HTTPS):
        node.crictl("pull", f"{registry}/test/plain:1")
    names = [f"{HTTP}/test/plain:1", f"{HTTPS}/test/plain:1", node.images.plain.id] * 2
    runs = [subprocess.Popen(node.command("rmi", name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for name in names]
    for run in runs:  # crictl itself asks for the image first, and may find it gone
        text = run.communicate(timeout=50)[0]
        assert run.returncode == 0 or "no such image" in text, text
    found = node.crictl("images", "-q", "--no-trunc").out
    assert node.images.plain.id not in found, found


@test
def test_rule_16_what_was_executed_in_a_container_ends_with_it(node):
    with node.pod() as pod:
        container = pod.run()
        command = node.command("exec", "-s", container.id, "sh", "-c", "trap '' TERM; echo begun > /tmp/begun; sleep 7171")
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        eventually(lambda: "begun" in container.sh("cat /tmp/begun 2>/dev/null || true"))
        node.crictl("stop", "-t", "0", container.id)
        text = running.communicate(timeout=20)[0]
        assert running.returncode != 0, f"the exec says that it ended well: {text}"
        left = subprocess.run(["pgrep", "-f", "sleep 7171"], capture_output=True, text=True).stdout
        equal(left, "", "processes of the exec that are left")
        equal(container.status()["state"], "CONTAINER_EXITED", "state")


@test
def test_rule_27_the_log_file_is_there_when_start_returns(node):
    with node.pod() as pod:
        identifier = pod.create(["sleep", "1000"])
        node.crictl("start", identifier)
        mode = (pod.log_directory / "main.log").stat().st_mode & 0o777
        equal(mode, 0o640, "mode")


@test
def test_rule_34_verbose_answers_have_json_below_info(node):
    with node.pod() as pod:
        container = pod.run()
        for value in (node.json("inspect", container.id), node.json("inspectp", pod.id)):
            assert value["info"]["config"]["metadata"]["name"], value["info"]
        config = node.json("info")["config"]
        contains(str(config), str(node.state))


@test
def test_rule_36_events_are_told_to_whoever_listens(node):
    mark = node.log_mark()
    listening = subprocess.Popen(node.command("events", "-o", "go-template", "--template", TEMPLATE), stdout=subprocess.PIPE, text=True)
    try:
        eventually(lambda: "listens for events" in node.log_since(mark))
        with node.pod() as pod:
            container = pod.run(["true"])
            container.wait_exit()
            node.crictl("rm", container.id)
        wanted = [("CREATED", pod.id), ("STARTED", pod.id), ("CREATED", container.id), ("STARTED", container.id),
                  ("STOPPED", container.id), ("DELETED", container.id), ("STOPPED", pod.id), ("DELETED", pod.id)]
        found = [listening.stdout.readline().split() for _ in wanted]
        uid = pod.config["metadata"]["uid"]
        equal([line[:3] for line in found], [[f"CONTAINER_{kind}_EVENT", identifier, uid] for kind, identifier in wanted], "events")
        times = [int(line[3]) for line in found]
        assert times == sorted(set(times)), times
        equal(found[4][4:], [container.id, "CONTAINER_EXITED"], "containers in the event of an end")
    finally:
        listening.terminate()
        listening.communicate()
    eventually(lambda: "listens for events no more" in node.log_since(mark))
