// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <type_traits>

#include "oci/json_internal.h"
#include "oci/spec_json.h"

namespace berth::oci {

namespace {

constexpr size_t kMaxItems = 65536;

// Get(reader, field): one overload per type of field; Member() leaves the field alone when the key
// is absent.
Result<> Get(const JsonReader& reader, std::string& out) {
  out = TRY(reader.String());
  return Ok();
}
Result<> Get(const JsonReader& reader, bool& out) {
  out = TRY(reader.Bool());
  return Ok();
}
Result<> Get(const JsonReader& reader, uint64_t& out) {
  if (!reader.value().is_number_unsigned()) return reader.Fail("not a whole number from 0");
  out = reader.value().get<uint64_t>();
  return Ok();
}
template <class T>
  requires(std::is_same_v<T, int64_t> || std::is_same_v<T, uint32_t>)
Result<> Get(const JsonReader& reader, T& out) {
  using Limits = std::numeric_limits<T>;
  out = static_cast<T>(TRY(reader.Int(Limits::min(), Limits::max())));
  return Ok();
}
Result<> Get(const JsonReader& reader, char& out) {
  std::string text = TRY(reader.String());
  if (text.size() != 1) return reader.Fail("not one letter");
  out = text[0];
  return Ok();
}
Result<> Get(const JsonReader& reader, std::map<std::string, std::string>& out) {
  out = TRY(reader.StringMap(kMaxItems));
  return Ok();
}
Result<> Get(const JsonReader& reader, IdMapping& out);
Result<> Get(const JsonReader& reader, Rlimit& out);
Result<> Get(const JsonReader& reader, SpecUser& out);
Result<> Get(const JsonReader& reader, CapabilitySets& out);
Result<> Get(const JsonReader& reader, SpecProcess& out);
Result<> Get(const JsonReader& reader, SpecRoot& out);
Result<> Get(const JsonReader& reader, SpecMount& out);
Result<> Get(const JsonReader& reader, SpecNamespace& out);
Result<> Get(const JsonReader& reader, SpecDevice& out);
Result<> Get(const JsonReader& reader, DeviceRule& out);
Result<> Get(const JsonReader& reader, CpuResources& out);
Result<> Get(const JsonReader& reader, MemoryResources& out);
Result<> Get(const JsonReader& reader, HugepageLimit& out);
Result<> Get(const JsonReader& reader, Resources& out);
Result<> Get(const JsonReader& reader, SeccompArg& out);
Result<> Get(const JsonReader& reader, SeccompRule& out);
Result<> Get(const JsonReader& reader, Seccomp& out);
Result<> Get(const JsonReader& reader, IntelRdt& out);
Result<> Get(const JsonReader& reader, SpecHook& out);
Result<> Get(const JsonReader& reader, SpecLinux& out);

template <class T>
Result<> Get(const JsonReader& reader, std::vector<T>& out) {
  for (const JsonReader& item : TRY(reader.Elements(kMaxItems))) {
    T value{};
    TRY(Get(item, value));
    out.push_back(std::move(value));
  }
  return Ok();
}
template <class T>
Result<> Get(const JsonReader& reader, std::optional<T>& out) {
  T value{};
  TRY(Get(reader, value));
  out = std::move(value);
  return Ok();
}

template <class T>
Result<> Member(const JsonReader& object, std::string_view key, T& out) {
  auto member = TRY(object.Optional(key));
  if (!member) return Ok();
  return Get(*member, out);
}

// Members(reader, "a", a, "b", b): each pair in turn.
Result<> Members(const JsonReader& /*object*/) { return Ok(); }
template <class T, class... Rest>
Result<> Members(const JsonReader& object, std::string_view key, T& out, Rest&&... rest) {
  TRY(Member(object, key, out));
  return Members(object, std::forward<Rest>(rest)...);
}

Result<> Get(const JsonReader& r, IdMapping& out) {
  return Members(r, "containerID", out.container_id, "hostID", out.host_id, "size", out.size);
}

Result<> Get(const JsonReader& r, Rlimit& out) {
  return Members(r, "type", out.type, "soft", out.soft, "hard", out.hard);
}

Result<> Get(const JsonReader& r, SpecUser& out) {
  return Members(r, "uid", out.uid, "gid", out.gid, "umask", out.umask, "additionalGids",
                 out.additional_gids);
}

Result<> Get(const JsonReader& r, CapabilitySets& out) {
  return Members(r, "bounding", out.bounding, "effective", out.effective, "inheritable",
                 out.inheritable, "permitted", out.permitted, "ambient", out.ambient);
}

Result<> Get(const JsonReader& r, SpecProcess& out) {
  return Members(r, "terminal", out.terminal, "user", out.user, "args", out.args, "env", out.env,
                 "cwd", out.cwd, "capabilities", out.capabilities, "noNewPrivileges",
                 out.no_new_privileges, "oomScoreAdj", out.oom_score_adj, "rlimits", out.rlimits,
                 "apparmorProfile", out.apparmor_profile, "selinuxLabel", out.selinux_label);
}

Result<> Get(const JsonReader& r, SpecRoot& out) {
  return Members(r, "path", out.path, "readonly", out.readonly);
}

Result<> Get(const JsonReader& r, SpecMount& out) {
  return Members(r, "destination", out.destination, "type", out.type, "source", out.source,
                 "options", out.options, "uidMappings", out.uid_mappings, "gidMappings",
                 out.gid_mappings);
}

Result<> Get(const JsonReader& r, SpecNamespace& out) {
  return Members(r, "type", out.type, "path", out.path);
}

Result<> Get(const JsonReader& r, SpecDevice& out) {
  return Members(r, "path", out.path, "type", out.type, "major", out.major, "minor", out.minor,
                 "fileMode", out.file_mode, "uid", out.uid, "gid", out.gid);
}

Result<> Get(const JsonReader& r, DeviceRule& out) {
  return Members(r, "allow", out.allow, "type", out.type, "major", out.major, "minor", out.minor,
                 "access", out.access);
}

Result<> Get(const JsonReader& r, CpuResources& out) {
  return Members(r, "shares", out.shares, "quota", out.quota, "burst", out.burst, "period",
                 out.period, "realtimeRuntime", out.realtime_runtime, "realtimePeriod",
                 out.realtime_period, "cpus", out.cpus, "mems", out.mems, "idle", out.idle);
}

Result<> Get(const JsonReader& r, MemoryResources& out) {
  return Members(r, "limit", out.limit, "reservation", out.reservation, "swap", out.swap,
                 "swappiness", out.swappiness, "disableOOMKiller", out.disable_oom_killer);
}

Result<> Get(const JsonReader& r, HugepageLimit& out) {
  return Members(r, "pageSize", out.page_size, "limit", out.limit);
}

Result<> Get(const JsonReader& r, Resources& out) {
  if (auto pids = TRY(r.Optional("pids"))) TRY(Member(*pids, "limit", out.pids_limit));
  return Members(r, "cpu", out.cpu, "memory", out.memory, "hugepageLimits", out.hugepage_limits,
                 "devices", out.devices, "unified", out.unified);
}

Result<> Get(const JsonReader& r, SeccompArg& out) {
  return Members(r, "index", out.index, "value", out.value, "valueTwo", out.value_two, "op",
                 out.op);
}

Result<> Get(const JsonReader& r, SeccompRule& out) {
  return Members(r, "names", out.names, "action", out.action, "errnoRet", out.errno_ret, "args",
                 out.args);
}

Result<> Get(const JsonReader& r, Seccomp& out) {
  return Members(r, "defaultAction", out.default_action, "defaultErrnoRet", out.default_errno_ret,
                 "architectures", out.architectures, "flags", out.flags, "listenerPath",
                 out.listener_path, "listenerMetadata", out.listener_metadata, "syscalls",
                 out.syscalls);
}

Result<> Get(const JsonReader& r, IntelRdt& out) {
  return Members(r, "closID", out.clos_id, "l3CacheSchema", out.l3_cache_schema, "memBwSchema",
                 out.mem_bw_schema, "enableCMT", out.enable_cmt, "enableMBM", out.enable_mbm);
}

Result<> Get(const JsonReader& r, SpecHook& out) {
  return Members(r, "path", out.path, "args", out.args, "env", out.env, "timeout", out.timeout_s);
}

Result<> GetHooks(const JsonReader& r, SpecHooks& out) {
  constexpr size_t kMostHookNames = 16;
  for (const auto& [name, list] : TRY(r.Members(kMostHookNames))) {
    TRY(Get(list, out[name]));
  }
  return Ok();
}

Result<> Get(const JsonReader& r, SpecLinux& out) {
  return Members(r, "namespaces", out.namespaces, "uidMappings", out.uid_mappings, "gidMappings",
                 out.gid_mappings, "devices", out.devices, "cgroupsPath", out.cgroups_path,
                 "resources", out.resources, "seccomp", out.seccomp, "sysctl", out.sysctl,
                 "maskedPaths", out.masked_paths, "readonlyPaths", out.readonly_paths,
                 "rootfsPropagation", out.rootfs_propagation, "mountLabel", out.mount_label,
                 "intelRdt", out.intel_rdt);
}

}  // namespace

Result<Spec> ParseSpec(std::string_view text) {
  JsonLimits limits;
  limits.max_bytes = kMaxSpecBytes;
  Json tree = TRY(ParseJson(text, limits, "runtime spec"));
  JsonReader root(tree);
  Spec spec;
  TRY(Members(root, "ociVersion", spec.oci_version, "process", spec.process, "root", spec.root,
              "hostname", spec.hostname, "domainname", spec.domainname, "mounts", spec.mounts,
              "annotations", spec.annotations, "linux", spec.linux),
      "runtime spec");
  if (auto hooks = TRY(root.Optional("hooks"))) TRY(GetHooks(*hooks, spec.hooks), "runtime spec");
  return spec;
}

}  // namespace berth::oci
