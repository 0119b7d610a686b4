# SPDX-License-Identifier: Apache-2.0
"""The CRI log: format, streams, terminal, following, reopening."""
import re
import subprocess

from support.suite import contains, equal, eventually, test


@test
def test_log_lines_carry_time_stream_and_tag(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "echo one; echo two >&2; printf three"])
        container.wait_exit()
        text = container.log_path.read_text()
        for line in text.splitlines():
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(Z|[+-]\d\d:\d\d) (stdout|stderr) [FP] ", line), line
        equal(sorted(container.lines()), [("stderr", "F", "two"), ("stdout", "F", "one"), ("stdout", "P", "three")], "lines")


@test
def test_crictl_logs_separates_the_streams(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "echo out; echo err >&2"])
        container.wait_exit()
        done = node.crictl("logs", container.id)
        equal((done.out, done.err), ("out\n", "err\n"), "streams")
        equal(node.crictl("logs", "--tail", "0", container.id).out, "", "tail 0")


@test
def test_long_lines_are_split_and_lose_nothing(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "dd if=/dev/zero bs=1000 count=50 2>/dev/null | tr '\\0' x; echo; echo end"])
        container.wait_exit()
        lines = container.lines()
        equal("".join(text for _, _, text in lines[:-1]), "x" * 50000, "content")
        equal([tag for _, tag, _ in lines[-2:]], ["F", "F"], "tags at the ends")
        assert max(len(text) for _, _, text in lines) <= 16384
        equal(container.log(), "x" * 50000 + "\nend\n", "what crictl makes of it")


@test
def test_terminal_log_is_one_stream(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "test -t 0 && test -t 1 && echo terminal; echo err >&2"], tty=True, stdin=True)
        container.wait_exit()
        equal([(stream, text.rstrip("\r")) for stream, _, text in container.lines()],
              [("stdout", "terminal"), ("stdout", "err")], "lines")


@test
def test_following_shows_lines_as_they_come_and_ends_with_the_container(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo second; exit 0"])
        follower = subprocess.Popen(node.command("logs", "-f", container.id), stdout=subprocess.PIPE, text=True)
        try:
            equal(follower.stdout.readline(), "first\n", "first line")
            container.sh("touch /tmp/go")
            equal(follower.stdout.readline(), "second\n", "second line")
            equal(follower.stdout.read(), "", "rest")
            equal(follower.wait(20), 0, "exit code")
        finally:
            follower.kill()
            follower.wait()


@test
def test_reopening_writes_on_in_a_new_file(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"])
        rotated = container.log_path.with_suffix(".1")
        eventually(lambda: container.log_path.read_text().count("\n") > 3)
        container.log_path.rename(rotated)
        node.crictl("logs", "-r", container.id)
        eventually(lambda: container.log_path.exists() and container.log_path.read_text().count("\n") > 3)
        node.crictl("stop", "-t", "0", container.id)
        texts = [line.split(" ", 3)[3] for path in (rotated, container.log_path) for line in path.read_text().splitlines()]
        equal(texts, [str(n + 1) for n in range(len(texts))], "numbers over both files")
        node.refused("logs", "-r", container.id, code="FailedPrecondition")


@test
def test_output_of_children_after_the_first_process_is_kept(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "for i in $(seq 2000); do echo line $i; done"])
        container.wait_exit()
        equal([text for _, _, text in container.lines()], [f"line {n}" for n in range(1, 2001)], "lines")


@test
def test_container_without_a_log_path_runs(node):
    with node.pod() as pod:
        container = pod.run(["sh", "-c", "echo nobody reads this"], log_path="")
        equal(container.wait_exit()["exitCode"], 0, "exit code")


@test
def test_berth_logs_prints_the_log(node):
    with node.pod() as pod:
        container = pod.run(["echo", "hello"])
        container.wait_exit()
        contains(node.berth("logs", container.id).out, "hello")
