#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Inside the virtual machine, once: Berth where a distribution's package would put it, and a registry on loopback.
set -e
install -d -m 755 /usr/libexec/berth /etc/berth /usr/lib/systemd/system
install -m 755 /payload/build/bin/* /usr/libexec/berth/
ln -sf ../libexec/berth/berth /usr/bin/berth
install -m 644 /payload/packaging/systemd/berth.service /usr/lib/systemd/system/
cat > /etc/test-registry.yml <<END
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: /payload/registry}
  maintenance: {readonly: {enabled: true}}
http: {addr: "127.0.0.1:5000"}
END
cat > /etc/systemd/system/test-registry.service <<END
[Unit]
Description=Registry with the test's images
[Service]
ExecStart=/usr/bin/docker-registry serve /etc/test-registry.yml
[Install]
WantedBy=multi-user.target
END
python3 -B /payload/tests/vm/inside.py configure
systemctl daemon-reload
systemctl -q enable --now test-registry.service
systemctl -q enable --now berth.service
