// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_keys.h"

#include <array>

namespace berth::daemon {

namespace {

#define TEXT(member) TextField([](Config& c) -> std::string& { return c.member; })
#define FLAG(member) FlagField([](Config& c) -> bool& { return c.member; })
#define LIST(member) ListField([](Config& c) -> std::vector<std::string>& { return c.member; })
#define NUMBER(member, min, max)                             \
  NumberField {                                              \
    [](Config& c) -> int64_t& { return c.member; }, min, max \
  }
#define CHOICE(member, ...)                                             \
  ChoiceField {                                                         \
    [](Config& c) -> std::string& { return c.member; }, { __VA_ARGS__ } \
  }

const auto& Table() {
  static const std::array kKeys = {
      ConfigKey{
          "root", TEXT(root),
          "Directory of what must survive a reboot: images, containers' writable layers, records."},
      ConfigKey{"state", TEXT(state),
                "Directory of what a reboot voids: monitors' sockets, exit records, bundles. A "
                "tmpfs is best."},
      ConfigKey{"listen", TEXT(listen), "The CRI socket, unix:///absolute/path."},
      ConfigKey{"log_level", CHOICE(log_level, "debug", "info", "warning", "error"),
                "Least severity of lines that are logged: debug, info, warning or error."},
      ConfigKey{"libexec_dir", TEXT(libexec_dir),
                "Directory of berth-monitor, berth-fetch, berth-unpack and berth-stream; empty: "
                "where berthd is."},

      ConfigKey{"runtime.default_handler", TEXT(default_handler),
                "Handler of pods whose RuntimeClass names none."},
      ConfigKey{"runtime.cgroup_driver", CHOICE(cgroup_driver, "auto", "cgroupfs", "systemd"),
                "auto, cgroupfs or systemd; auto is systemd where systemd is PID 1 and cgroup v2 "
                "is used. The kubelet reads it from RuntimeConfig."},
      ConfigKey{"runtime.cgroup_parent", TEXT(cgroup_parent),
                "Cgroup of pods that name no parent (crictl's); removed when it is empty."},
      ConfigKey{"runtime.create_timeout_s", NUMBER(create_timeout_s, 1, 3600),
                "Seconds that one call of an OCI runtime may take."},
      ConfigKey{"runtime.cdi_spec_dirs", LIST(cdi_spec_dirs),
                "Directories of CDI device files, *.json and *.yaml; a device in a later one hides "
                "the same in an "
                "earlier one. Read anew for each container that asks for a device."},

      ConfigKey{"network.conf_dirs", LIST(cni_conf_dirs),
                "Directories of CNI configuration; the first file in the order of names counts, "
                "and a change is seen at once."},
      ConfigKey{"network.bin_dirs", LIST(cni_bin_dirs),
                "Directories in which CNI plugins are looked for, in this order."},
      ConfigKey{
          "network.native_plugins", FLAG(native_plugins),
          "Use Berth's own bridge, host-local, loopback, portmap, ptp, bandwidth, firewall and "
          "tuning where a configuration names these types; they start no other program. With "
          "false, those of bin_dirs are used."},
      ConfigKey{"network.conf_template", TEXT(cni_conf_template),
                "Template of CNI configuration (containerd's format) that is filled with the pod "
                "CIDR and written to the "
                "first of conf_dirs as 10-berth-net.conflist when the kubelet tells a new one; "
                "empty: none."},
      ConfigKey{"network.netns_dir", TEXT(netns_dir),
                "Where pods' network namespaces are pinned; `ip netns` looks in /run/netns."},
      ConfigKey{"network.default_network", FLAG(default_network),
                "Use a built-in bridge network while no CNI configuration exists."},
      ConfigKey{"network.default_bridge", TEXT(default_bridge), "Interface name of that bridge."},
      ConfigKey{"network.default_subnet", TEXT(default_subnet),
                "IPv4 subnet of that bridge; empty: the first of 10.88.0.0/16, 10.89.0.0/16 ... "
                "that no route of the node overlaps."},
      ConfigKey{"network.timeout_s", NUMBER(cni_timeout_s, 1, 3600),
                "Seconds that one CNI plugin may take."},
      ConfigKey{"network.parallel", NUMBER(cni_parallel, 1, 256),
                "Pods whose networks are set up or torn down at the same time."},

      ConfigKey{"streaming.address", TEXT(stream_address),
                "IP address that the server of exec, attach and port-forward listens on; the "
                "kubelet of the same node is its client."},
      ConfigKey{"streaming.port", NUMBER(stream_port, 0, 65535), "Its port; 0: any that is free."},
      ConfigKey{"streaming.uid", NUMBER(stream_uid, 1, 4294967294),
                "User and group id of berth-stream, which is that server."},
      ConfigKey{"streaming.tls_cert", TEXT(stream_tls_cert),
                "Certificate chain (PEM) for HTTPS; empty: HTTP. Read anew when it has changed and "
                "on SIGHUP."},
      ConfigKey{"streaming.tls_key", TEXT(stream_tls_key), "Its private key (PEM)."},
      ConfigKey{"streaming.tls_client_ca", TEXT(stream_tls_client_ca),
                "Certificates (PEM) of which clients must show one; empty: any client."},
      ConfigKey{"streaming.creation_timeout_s", NUMBER(stream_creation_timeout_s, 1, 3600),
                "Seconds that a client may take to open its streams."},
      ConfigKey{"streaming.idle_timeout_s", NUMBER(stream_idle_timeout_s, 1, 604800),
                "Seconds without a byte after which a session is ended."},

      ConfigKey{"metrics.cadvisor", CHOICE(cadvisor, "auto", "on", "off"),
                "Answer the kubelet's cAdvisor on /run/crio/crio.sock as CRI-O does, and name "
                "control groups so that "
                "it knows them: /metrics/cadvisor then has pods' names. auto: unless CRI-O is on "
                "the node."},

      ConfigKey{"image.certs_dirs", LIST(certs_dirs),
                "Directories with <registry host>/hosts.toml, containerd's format; the first that "
                "knows the host counts, read anew for each pull."},
      ConfigKey{
          "image.docker_configs", LIST(docker_configs),
          "Docker's config.json files with credentials for pulls that bring none, with the "
          "credential helpers that they name; the first that knows the registry counts. Every "
          "pod of the node can then pull with them."},
      ConfigKey{"image.http_proxy", TEXT(http_proxy),
                "Proxy for registries on http; empty: HTTP_PROXY of berthd's environment. Loopback "
                "is never asked through a proxy."},
      ConfigKey{"image.https_proxy", TEXT(https_proxy),
                "Proxy for registries on https; empty: HTTPS_PROXY of berthd's environment."},
      ConfigKey{
          "image.no_proxy", TEXT(no_proxy),
          "Names, \".domain\" suffixes and networks that are reached without proxy, with commas "
          "between them; empty: NO_PROXY of berthd's environment."},
      ConfigKey{
          "image.signature_policy", TEXT(signature_policy),
          "File that says which repositories' images are accepted, rejected, or must be signed by "
          "a key; read anew for each pull and each new container. Empty: all are accepted."},
      ConfigKey{"image.pinned", LIST(pinned_images),
                "Images that the kubelet's garbage collection must leave alone: names, digests or "
                "ids, or patterns with * and ? over the full name (\"registry.k8s.io/*\")."},
      ConfigKey{"image.max_store_bytes", NUMBER(max_store_bytes, 0, INT64_MAX),
                "Unpacked bytes that all layers together may have; a pull that would exceed them "
                "fails. 0: no limit."},
      ConfigKey{"image.fetch_uid", NUMBER(fetch_uid, 1, 4294967294),
                "User id of berth-fetch, which talks to registries."},
      ConfigKey{"image.parallel_layers", NUMBER(parallel_layers, 1, 64),
                "Layers of one pull that are fetched and unpacked at the same time."},
      ConfigKey{"image.progress_timeout_s", NUMBER(progress_timeout_s, 1, 86400),
                "Seconds without a byte after which a transfer is given up."},
      ConfigKey{"image.max_layer_bytes", NUMBER(max_layer_bytes, 1, INT64_MAX),
                "Unpacked bytes that one layer may have."},
      ConfigKey{"image.max_layer_entries", NUMBER(max_layer_entries, 1, 1'000'000'000),
                "Files that one layer may have."},
  };
  return kKeys;
}

}  // namespace

std::span<const ConfigKey> ConfigKeys() { return Table(); }

}  // namespace berth::daemon
