# SPDX-License-Identifier: Apache-2.0
"""Image volumes: an image's files, read-only, whole or in part, also after a restart and without their image."""
from support.suite import contains, equal, test

VOLUME = "127.0.0.1:5000/test/plain:1"


def mount(path="/vol", image=VOLUME, sub_path="", **fields):
    return {"container_path": path, "image": {"image": image}, "image_sub_path": sub_path, "readonly": True, **fields}


def pulled(node):
    node.crictl("pull", VOLUME)


@test
def test_rule_38_image_volume_shows_the_image_and_cannot_be_written(node):
    pulled(node)
    with node.pod() as pod:
        container = pod.run(mounts=[mount()])
        equal(container.sh("cat /vol/plain").strip(), "plain", "content")
        equal(container.sh("ls -d /vol/etc/mtab 2>/dev/null; true").strip(), "", "nothing that the image does not have")
        contains(container.exec("sh", "-c", "echo x > /vol/new", check=False).text, "Read-only")
        contains(container.sh("grep ' /vol ' /proc/mounts"), "nosuid")
        told = container.status()["mounts"][0]
        equal((told["containerPath"], told["hostPath"]), ("/vol", ""), "status")
        equal(told["image"]["image"], VOLUME, "image in the status")


@test
def test_sub_path_is_a_directory_or_a_file_of_the_image(node):
    with node.pod() as pod:
        busybox = "127.0.0.1:5000/test/busybox:1"
        container = pod.run(mounts=[mount("/dir", busybox, "data/dir"), mount("/etc/file", busybox, "data/kept"),
                                    mount("/etc/linked", busybox, "data/link")])
        equal(container.sh("ls /dir").split(), ["c"], "directory")
        equal(container.sh("cat /etc/file /etc/linked").split(), ["first", "first"], "file, and a link to it")


@test
def test_rule_38_bad_image_volumes_are_refused_and_leave_nothing(node):
    pulled(node)
    with node.pod() as pod:
        cases = [(mount(sub_path="missing"), "NotFound", "desc = ImageVolumeMountFailed: "),
                 (mount(image="127.0.0.1:5000/test/absent:1"), "NotFound", "desc = ImageVolumeMountFailed: "),
                 (mount(sub_path="../.."), "InvalidArgument", "contains"),
                 (mount(host_path="/tmp"), "InvalidArgument", "image and host_path together"),
                 ({**mount(), "readonly": False}, "InvalidArgument", "must be readonly")]
        for number, (bad, code, text) in enumerate(cases):
            config = node.container_config(["true"], name=f"bad-{number}", mounts=[bad])
            node.refused("create", pod.id, node.file(config), pod.path, code=code, parts=text)
        equal(node.ids("ps", "-a", "--pod", pod.id), [], "containers")


@test
def test_image_volume_outlives_its_image_and_a_restart(node):
    pulled(node)
    with node.pod() as pod:
        container = pod.run(mounts=[mount()])
        node.crictl("rmi", VOLUME)
        node.restart()
        equal(container.sh("cat /vol/plain").strip(), "plain", "content")
        equal(container.status()["mounts"][0]["image"]["image"], VOLUME, "image in the status")
