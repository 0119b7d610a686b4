# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the images that critest v1.36.0 names, made here and pushed to the loopback registry."""
from support import oci

STAGING = "k8s-staging-cri-tools"
# critest names this image by a digest that nobody else can make; in a copy of the binary it becomes our stand-in's.
PINNED_DIGEST = "9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf"
HOSTS = ("registry.k8s.io", "k8s.gcr.io", "gcr.io")


def push_all(registry):
    """The digest that stands in for the pinned one."""
    push = oci.Push(registry)
    base = oci.busybox_tree().bytes()
    program = oci.stand_in()
    environment = {"Env": [oci.PATH]}

    def image(names, config, *layers):
        made = oci.Image([base, *layers], {**environment, **config})
        for name in [names] if isinstance(names, str) else names:
            repository, _, tag = name.rpartition(":")
            push.image(repository, tag, made)
        return made

    def marked(names, config=None):
        name = names if isinstance(names, str) else names[0]
        return image(names, {"Cmd": ["sh"], **(config or {})}, oci.Tree().file("mark", name + "\n").bytes())

    image("e2e-test-images/busybox:1.29-2", {"Cmd": ["sh"]})
    web = oci.Tree().file("bin/nginx", program, 0o755).bytes()
    image("e2e-test-images/nginx:1.14-2", {"Cmd": ["nginx", "-g", "daemon off;"], "ExposedPorts": {"80/tcp": {}}}, web)
    image(f"{STAGING}/hostnet-nginx-{oci.ARCH}:latest", {"Cmd": ["nginx", "-g", "daemon off;"],
                                                         "Env": [oci.PATH, "PORT=12003"]}, web)
    serve = '#!/bin/sh\necho "httpd: serving port 80"\nexec httpd -f -p 80 -h /var/www\n'
    image("e2e-test-images/httpd:2.4.39-4", {"Cmd": ["serve-httpd"]},
          oci.Tree().file("bin/serve-httpd", serve, 0o755).file("var/www/index.html", "<h1>It works!</h1>\n").bytes())
    image("e2e-test-images/nonewprivs:1.3", {"Entrypoint": ["/bin/nnp"]}, oci.Tree().file("bin/nnp", program, 0o4755).bytes())
    pause = oci.Image([oci.Tree().file("pause", program, 0o755).bytes()],
                      {**environment, "Entrypoint": ["/pause"], "User": "65535:65535"})
    push.image("pause", "3.9", pause)

    for number in (1, 2, 3):
        marked(f"{STAGING}/test-image-{number}:latest")
    marked(f"{STAGING}/test-image-latest:latest")
    marked([f"{STAGING}/test-image-tag:test", f"{STAGING}/test-image-tag:all"])
    marked([f"{STAGING}/test-image-tags:{n}" for n in (1, 2, 3)])
    for name, user in (("uid", "1002"), ("username", "www-data"), ("uid-group", "1003:1004"), ("username-group", "www-data:1004")):
        marked(f"{STAGING}/test-image-user-{name}:latest", {"User": user})
    image(f"{STAGING}/test-image-predefined-group:latest", {"User": "1000", "Cmd": ["sh"]},
          oci.Tree().file("etc/passwd", oci.PASSWD.replace("alice:x:1000:1001", "default-user:x:1000:1000"))
          .file("etc/group", oci.GROUP + "default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n").bytes())
    return marked(f"{STAGING}/test-image-digest:latest").digest
