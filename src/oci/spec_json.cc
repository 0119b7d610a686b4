// SPDX-License-Identifier: Apache-2.0
#include "oci/spec_json.h"

#include "oci/json_internal.h"

namespace berth::oci {

namespace {

// Absent is left out: no key for an empty list, text, map or optional.
template <class T>
void Put(Json& object, const char* key, const std::optional<T>& value) {
  if (value) object[key] = *value;
}
void Put(Json& object, const char* key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}
template <class T>
void Put(Json& object, const char* key, const std::vector<T>& list) {
  if (!list.empty()) object[key] = list;
}
void Put(Json& object, const char* key, const std::map<std::string, std::string>& map) {
  if (!map.empty()) object[key] = map;
}
void Put(Json& object, const char* key, Json value) {
  if (!value.empty()) object[key] = std::move(value);
}

template <class T, class F>
Json Array(const std::vector<T>& list, F encode) {
  Json out = Json::array();
  for (const T& item : list) out.push_back(encode(item));
  return out;
}

Json Mapping(const IdMapping& mapping) {
  return {
      {"containerID", mapping.container_id}, {"hostID", mapping.host_id}, {"size", mapping.size}};
}

Json Capabilities(const CapabilitySets& sets) {
  return {{"bounding", sets.bounding},
          {"effective", sets.effective},
          {"inheritable", sets.inheritable},
          {"permitted", sets.permitted},
          {"ambient", sets.ambient}};
}

Json Process(const SpecProcess& process) {
  Json user = {{"uid", process.user.uid}, {"gid", process.user.gid}};
  Put(user, "umask", process.user.umask);
  Put(user, "additionalGids", process.user.additional_gids);
  Json out = {{"terminal", process.terminal}, {"user", std::move(user)},
              {"args", process.args},         {"env", process.env},
              {"cwd", process.cwd},           {"noNewPrivileges", process.no_new_privileges}};
  if (process.capabilities) out["capabilities"] = Capabilities(*process.capabilities);
  Put(out, "oomScoreAdj", process.oom_score_adj);
  Put(out, "rlimits", Array(process.rlimits, [](const Rlimit& limit) {
        return Json{{"type", limit.type}, {"soft", limit.soft}, {"hard", limit.hard}};
      }));
  Put(out, "apparmorProfile", process.apparmor_profile);
  Put(out, "selinuxLabel", process.selinux_label);
  return out;
}

Json Mount(const SpecMount& mount) {
  Json out = {{"destination", mount.destination}};
  Put(out, "type", mount.type);
  Put(out, "source", mount.source);
  Put(out, "options", mount.options);
  Put(out, "uidMappings", Array(mount.uid_mappings, Mapping));
  Put(out, "gidMappings", Array(mount.gid_mappings, Mapping));
  return out;
}

Json Namespace(const SpecNamespace& ns) {
  Json out = {{"type", ns.type}};
  Put(out, "path", ns.path);
  return out;
}

Json Device(const SpecDevice& device) {
  Json out = {{"path", device.path}, {"type", std::string(1, device.type)}};
  if (device.type != 'p') {
    out["major"] = device.major;
    out["minor"] = device.minor;
  }
  Put(out, "fileMode", device.file_mode);
  Put(out, "uid", device.uid);
  Put(out, "gid", device.gid);
  return out;
}

Json Rule(const DeviceRule& rule) {
  Json out = {{"allow", rule.allow}};
  if (rule.type != 'a') out["type"] = std::string(1, rule.type);
  Put(out, "major", rule.major);
  Put(out, "minor", rule.minor);
  Put(out, "access", rule.access);
  return out;
}

Json Cpu(const CpuResources& cpu) {
  Json out = Json::object();
  Put(out, "shares", cpu.shares);
  Put(out, "quota", cpu.quota);
  Put(out, "burst", cpu.burst);
  Put(out, "period", cpu.period);
  Put(out, "realtimeRuntime", cpu.realtime_runtime);
  Put(out, "realtimePeriod", cpu.realtime_period);
  Put(out, "cpus", cpu.cpus);
  Put(out, "mems", cpu.mems);
  Put(out, "idle", cpu.idle);
  return out;
}

Json Memory(const MemoryResources& memory) {
  Json out = Json::object();
  Put(out, "limit", memory.limit);
  Put(out, "reservation", memory.reservation);
  Put(out, "swap", memory.swap);
  Put(out, "swappiness", memory.swappiness);
  Put(out, "disableOOMKiller", memory.disable_oom_killer);
  return out;
}

Json ResourcesJson(const Resources& resources) {
  Json out = Json::object();
  Put(out, "cpu", Cpu(resources.cpu));
  Put(out, "memory", Memory(resources.memory));
  if (resources.pids_limit) out["pids"] = {{"limit", *resources.pids_limit}};
  Put(out, "hugepageLimits", Array(resources.hugepage_limits, [](const HugepageLimit& limit) {
        return Json{{"pageSize", limit.page_size}, {"limit", limit.limit}};
      }));
  Put(out, "devices", Array(resources.devices, Rule));
  Put(out, "unified", resources.unified);
  return out;
}

Json SeccompArgJson(const SeccompArg& arg) {
  return {{"index", arg.index}, {"value", arg.value}, {"valueTwo", arg.value_two}, {"op", arg.op}};
}

Json SeccompJson(const Seccomp& seccomp) {
  Json out = {{"defaultAction", seccomp.default_action}};
  Put(out, "defaultErrnoRet", seccomp.default_errno_ret);
  Put(out, "architectures", seccomp.architectures);
  Put(out, "flags", seccomp.flags);
  Put(out, "listenerPath", seccomp.listener_path);
  Put(out, "listenerMetadata", seccomp.listener_metadata);
  Put(out, "syscalls", Array(seccomp.syscalls, [](const SeccompRule& rule) {
        Json item = {{"names", rule.names}, {"action", rule.action}};
        Put(item, "errnoRet", rule.errno_ret);
        Put(item, "args", Array(rule.args, SeccompArgJson));
        return item;
      }));
  return out;
}

Json HooksJson(const SpecHooks& hooks) {
  Json out = Json::object();
  for (const auto& [name, list] : hooks) {
    out[name] = Array(list, [](const SpecHook& hook) {
      Json item = {{"path", hook.path}};
      Put(item, "args", hook.args);
      Put(item, "env", hook.env);
      Put(item, "timeout", hook.timeout_s);
      return item;
    });
  }
  return out;
}

Json IntelRdtJson(const IntelRdt& rdt) {
  Json out = Json::object();
  Put(out, "closID", rdt.clos_id);
  Put(out, "l3CacheSchema", rdt.l3_cache_schema);
  Put(out, "memBwSchema", rdt.mem_bw_schema);
  if (rdt.enable_cmt) out["enableCMT"] = true;
  if (rdt.enable_mbm) out["enableMBM"] = true;
  return out;
}

Json LinuxJson(const SpecLinux& linux_part) {
  Json out = Json::object();
  Put(out, "namespaces", Array(linux_part.namespaces, Namespace));
  Put(out, "uidMappings", Array(linux_part.uid_mappings, Mapping));
  Put(out, "gidMappings", Array(linux_part.gid_mappings, Mapping));
  Put(out, "devices", Array(linux_part.devices, Device));
  Put(out, "cgroupsPath", linux_part.cgroups_path);
  Put(out, "resources", ResourcesJson(linux_part.resources));
  if (linux_part.seccomp) out["seccomp"] = SeccompJson(*linux_part.seccomp);
  Put(out, "sysctl", linux_part.sysctl);
  Put(out, "maskedPaths", linux_part.masked_paths);
  Put(out, "readonlyPaths", linux_part.readonly_paths);
  Put(out, "rootfsPropagation", linux_part.rootfs_propagation);
  Put(out, "mountLabel", linux_part.mount_label);
  if (linux_part.intel_rdt) out["intelRdt"] = IntelRdtJson(*linux_part.intel_rdt);
  return out;
}

}  // namespace

Result<std::string> ToJson(const Spec& spec) {
  Json out = {{"ociVersion", spec.oci_version},
              {"process", Process(spec.process)},
              {"root", {{"path", spec.root.path}, {"readonly", spec.root.readonly}}},
              {"linux", LinuxJson(spec.linux)}};
  Put(out, "hostname", spec.hostname);
  Put(out, "domainname", spec.domainname);
  Put(out, "mounts", Array(spec.mounts, Mount));
  Put(out, "annotations", spec.annotations);
  Put(out, "hooks", HooksJson(spec.hooks));
  return DumpJson(out, "runtime spec");
}

Result<std::string> ProcessToJson(const SpecProcess& process) {
  return DumpJson(Process(process), "process");
}

Result<std::string> ResourcesToJson(const Resources& resources) {
  return DumpJson(ResourcesJson(resources), "resources");
}

}  // namespace berth::oci
