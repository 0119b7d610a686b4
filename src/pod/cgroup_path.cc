// SPDX-License-Identifier: Apache-2.0
#include "pod/cgroup_path.h"

#include <algorithm>
#include <string_view>

#include "base/strings.h"

namespace berth::pod {

namespace {

// The kubelet's names are of these; anything else could be read as a separator by systemd or the
// OCI runtime.
bool IsCgroupNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-_.@\\").find(c) != std::string_view::npos;
}

Result<> CheckParent(std::string_view parent) {
  std::string_view rest = parent;
  if (rest.starts_with('/')) rest.remove_prefix(1);
  if (rest.empty()) return Ok();
  if (rest.ends_with('/')) rest.remove_suffix(1);
  for (std::string_view part : Split(rest, '/')) {
    bool dots = part == "." || part == "..";
    if (part.empty() || dots || part.size() > 255 ||
        !std::all_of(part.begin(), part.end(), IsCgroupNameChar)) {
      return Error(Code::kInvalidArgument,
                   StrCat("cgroup_parent ", Quote(parent), " is not a control group's path"));
    }
  }
  return Ok();
}

Result<PodCgroup> PlanSlice(std::string parent) {
  if (parent.empty()) return PodCgroup{"system.slice", false};
  if (parent.ends_with('/')) parent.pop_back();
  std::string slice = parent.substr(parent.rfind('/') + 1);
  if (!slice.ends_with(".slice") || slice.size() == 6) {
    return Error(Code::kInvalidArgument, StrCat("cgroup_parent ", Quote(parent),
                                                " is not a slice (systemd cgroup driver)"));
  }
  return PodCgroup{slice, false};
}

}  // namespace

Result<PodCgroup> PlanPodCgroup(const std::string& given, const std::string& default_parent,
                                const std::string& sandbox_id, bool systemd) {
  TRY(CheckParent(given));
  if (systemd) return PlanSlice(given);
  std::string path = given.empty() ? default_parent : given;
  if (!path.starts_with('/')) path.insert(0, "/");
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (!given.empty()) return PodCgroup{path, false};
  TRY(CheckParent(path));
  return PodCgroup{StrCat(path == "/" ? "" : path, "/", sandbox_id), true};
}

std::string ContainerCgroupsPath(const std::string& pod_cgroup, const std::string& container_id,
                                 const CgroupNames& names) {
  if (names.systemd)
    return StrCat(pod_cgroup, names.for_cadvisor ? ":crio:" : ":berth:", container_id);
  return StrCat(pod_cgroup == "/" ? "" : pod_cgroup, names.for_cadvisor ? "/crio-" : "/",
                container_id);
}

std::string NetworkCgroup(const std::string& pod_cgroup, const std::string& sandbox_id,
                          bool systemd) {
  const std::string group =
      CgroupOf(ContainerCgroupsPath(pod_cgroup, sandbox_id, {systemd, true}), systemd);
  return systemd ? group : StrCat(group, ".scope");
}

std::string CgroupOf(const std::string& path, bool systemd) {
  if (!systemd) return path;
  const std::vector<std::string_view> parts = Split(path, ':');
  const std::string_view slice = parts[0];
  std::string out;
  if (slice != "-.slice") {
    const size_t end = slice.size() - std::min(slice.size(), std::string_view(".slice").size());
    for (size_t dash = slice.find('-'); dash < end; dash = slice.find('-', dash + 1))
      out += StrCat("/", slice.substr(0, dash), ".slice");
    out += StrCat("/", slice);
  }
  if (parts.size() == 3) out += StrCat("/", parts[1], "-", parts[2], ".scope");
  return out.empty() ? "/" : out;
}

}  // namespace berth::pod
