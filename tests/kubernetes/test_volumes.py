# SPDX-License-Identifier: Apache-2.0
"""ConfigMap, Secret, projected, emptyDir, hostPath, subPath and image volumes; termination messages."""
import base64

from objects import WEB, container, pod, status_of
from support.suite import contains, equal, eventually, test


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name, kind="Opaque", **data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind,
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}}


def mount(name, path, **fields):
    return {"name": name, "mountPath": path, **fields}


def sh(cluster, name, script):
    return cluster.out("exec", name, "--", "sh", "-c", script)


@test(seconds=180)
def test_config_maps_secrets_and_projected_volumes(cluster):
    cluster.apply(config_map("settings", colour="red", shape="round"), secret("keys", password="hunter2"))
    projected = {"sources": [{"configMap": {"name": "settings", "items": [{"key": "shape", "path": "deep/shape"}]}},
                             {"secret": {"name": "keys"}},
                             {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                             {"serviceAccountToken": {"path": "token", "audience": "test", "expirationSeconds": 600}}]}
    env = [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
           {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
           {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    cluster.apply(pod("reader", container(env=env, volumeMounts=[mount("settings", "/settings"), mount("keys", "/keys", readOnly=True),
                                                                 mount("all", "/all"),
                                                                 mount("settings", "/one/shape", subPath="shape")]),
                      volumes=[{"name": "settings", "configMap": {"name": "settings"}},
                               {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
                               {"name": "all", "projected": projected}]))
    cluster.wait_pod("reader")
    equal(sh(cluster, "reader", "cat /settings/colour /keys/password /all/deep/shape /all/password /one/shape"),
          "redhunter2roundhunter2round", "files")
    equal(sh(cluster, "reader", "stat -Lc %a /keys/password; df -T /keys | tail -1 | awk '{print $2}'"), "400\ntmpfs\n", "secret")
    contains(sh(cluster, "reader", "cat /all/labels"), 'app="reader"')
    equal(sh(cluster, "reader", "cut -d. -f2 /all/token | wc -w"), "1\n", "token")
    equal(sh(cluster, "reader", "echo $COLOUR $NODE"), "red node\n", "environment")
    equal(sh(cluster, "reader", "echo $IP").strip(), cluster.pod_status("reader")["podIP"], "address")
    equal(cluster.kubectl("exec", "reader", "--", "sh", "-c", "echo x >/keys/password", check=False).returncode, 1, "written to a secret")
    cluster.apply(config_map("settings", colour="blue", shape="round"))
    eventually(lambda: sh(cluster, "reader", "cat /settings/colour") == "blue", 120, 1)


@test(seconds=120)
def test_empty_directories_on_disk_and_in_memory(cluster):
    both = [mount("disk", "/disk"), mount("memory", "/memory"), mount("huge", "/sub", subPath="a/b")]
    cluster.apply(pod("writer", container(volumeMounts=both), container(name="other", volumeMounts=both),
                      volumes=[{"name": "disk", "emptyDir": {}}, {"name": "huge", "emptyDir": {}},
                               {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}]))
    cluster.wait_pod("writer")
    sh(cluster, "writer", "echo 1 >/disk/x; echo 2 >/memory/x; echo 3 >/sub/x")
    equal(cluster.out("exec", "writer", "-c", "other", "--", "cat", "/disk/x", "/memory/x", "/sub/x"), "1\n2\n3\n", "what the other sees")
    equal(sh(cluster, "writer", "df -T /memory | tail -1 | awk '{print $2, $3}'"), "tmpfs 8192\n", "memory")
    done = cluster.kubectl("exec", "writer", "--", "dd", "if=/dev/zero", "of=/memory/full", "bs=1M", "count=9", check=False)
    contains(done.stderr, "No space left")


@test(seconds=120)
def test_host_paths_and_sub_paths(cluster):
    host = cluster.node_work / "host-path"
    cluster.files.write(host / "one" / "two" / "file", "deep\n")
    cluster.files.write(host / "file", "file\n")
    volume = lambda path, kind: {"hostPath": {"path": str(path), "type": kind}}
    cluster.apply(pod("host", container(volumeMounts=[mount("dir", "/dir"), mount("file", "/a/file", readOnly=True),
                                                      mount("dir", "/two", subPathExpr="one/$(WHICH)"),
                                                      mount("dir", "/ro", recursiveReadOnly="Enabled", readOnly=True),
                                                      mount("dir", "/both", mountPropagation="HostToContainer")],
                                        env=[{"name": "WHICH", "value": "two"}]),
                      volumes=[{"name": "dir", **volume(host, "Directory")}, {"name": "file", **volume(host / "file", "File")}]))
    cluster.wait_pod("host")
    equal(sh(cluster, "host", "cat /dir/file /a/file /two/file /ro/one/two/file"), "file\nfile\ndeep\ndeep\n", "files")
    sh(cluster, "host", "echo back >/dir/back")
    equal(cluster.files.read(host / "back"), "back\n", "what the container wrote")
    for path in ("/a/file", "/ro/x"):
        done = cluster.kubectl("exec", "host", "--", "sh", "-c", f"echo x >{path}", check=False)
        contains(done.stderr, "Read-only file system")
    cluster.apply(pod("no-path", container(volumeMounts=[mount("dir", "/dir")]),
                      volumes=[{"name": "dir", **volume(host / "missing", "Directory")}]))
    eventually(lambda: "FailedMount" in str(cluster.events("no-path")), 30, 0.5)


@test(seconds=120)
def test_a_sub_path_cannot_leave_its_volume(cluster):
    bad = pod("escape", container(volumeMounts=[mount("v", "/etc-of-node", subPath="out")]),
              initContainers=[container("ln -sf /etc /v/out", "first", volumeMounts=[mount("v", "/v")])],
              volumes=[{"name": "v", "emptyDir": {}}])
    cluster.apply(bad)
    eventually(lambda: "CreateContainerConfigError" in str(cluster.pod_status("escape")), 60, 0.5)
    contains(str(cluster.events("escape")), "failed to prepare subPath")
    cluster.expect("failed to prepare subPath")


@test(seconds=120)
def test_an_image_as_a_volume(cluster):
    cluster.apply(pod("image", container(volumeMounts=[mount("pages", "/pages"), mount("pages", "/www", subPath="www")]),
                      volumes=[{"name": "pages", "image": {"reference": f"{WEB}:2"}}]))
    cluster.wait_pod("image")
    equal(sh(cluster, "image", "cat /pages/www/index.html /www/index.html"), "version 2\nversion 2\n", "pages")
    contains(cluster.kubectl("exec", "image", "--", "touch", "/pages/x", check=False).stderr, "Read-only file system")


@test(seconds=120)
def test_termination_messages(cluster):
    cluster.apply(pod("told", container("echo from the file >/dev/termination-log; echo in the log; exit 1"), restartPolicy="Never"),
                  pod("log", container("echo one; echo last words; exit 1", terminationMessagePolicy="FallbackToLogsOnError"),
                      restartPolicy="Never"),
                  pod("elsewhere", container("echo elsewhere >/tmp/why", terminationMessagePath="/tmp/why"), restartPolicy="Never"))
    cluster.wait_phase("told", "Failed")
    cluster.wait_phase("log", "Failed")
    cluster.wait_phase("elsewhere", "Succeeded")
    message = lambda name: status_of(cluster.pod_status(name), "main")["state"]["terminated"]["message"]
    equal(message("told"), "from the file\n", "message")
    equal(message("log"), "one\nlast words\n", "message")
    equal(message("elsewhere"), "elsewhere\n", "message")
