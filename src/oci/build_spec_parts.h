// SPDX-License-Identifier: Apache-2.0
// The steps of BuildSpec, each a pure function of the plan, so that each has its table test. Only
// build_spec*.cc and tests include this. Any thread; errors as in build_spec.h.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "oci/build_spec.h"
#include "oci/spec.h"

namespace berth::oci {

// Lexically: absolute, no ".", "..", "//" or final "/"; ".." stops at "/". InvalidArgument for ""
// and zero bytes.
Result<std::string> CleanContainerPath(std::string_view path);
// A path on the host: absolute, without ".." and zero bytes.
Result<> CheckHostPath(std::string_view path, std::string_view what);

// build_spec_process.cc
Result<std::vector<std::string>> BuildArgs(const PlanImageProcess& image,
                                           const PlanProcess& process);
// PATH, TERM, HOME are defaults only; HOSTNAME wins over the image, the request over everything.
Result<std::vector<std::string>> BuildEnv(const PlanImageProcess& image, const PlanProcess& process,
                                          std::string_view hostname);
SpecUser BuildUser(const SpecUser& user);
Result<std::vector<Rlimit>> BuildRlimits(const std::vector<Rlimit>& rlimits);
// Absent is 0, since the monitor, which would be inherited from, has -999.
Result<int64_t> BuildOomScoreAdj(const ContainerPlan& plan);
Result<SpecProcess> BuildProcess(const ContainerPlan& plan);

// build_spec_mounts.cc
Result<std::vector<SpecMount>> BuildMounts(const ContainerPlan& plan);
// "rshared" or "rslave" if a mount needs it, else "rprivate".
std::string BuildRootfsPropagation(const std::vector<PlanMount>& mounts);

// build_spec_resources.cc
Result<std::vector<SpecDevice>> BuildDevices(const ContainerPlan& plan);
Result<std::vector<DeviceRule>> BuildDeviceRules(const ContainerPlan& plan);
// "0-3,7": ascending numbers and ranges, none above `max`.
Result<> CheckCpuList(std::string_view list, int64_t max, std::string_view what);

// build_spec_linux.cc
Result<std::vector<SpecNamespace>> BuildNamespaces(const PlanNamespaces& namespaces);
struct HiddenPaths {
  std::vector<std::string> masked;
  std::vector<std::string> readonly;
};
Result<HiddenPaths> BuildHiddenPaths(const ContainerPlan& plan);
Result<std::map<std::string, std::string>> BuildSysctls(const ContainerPlan& plan);
Result<std::map<std::string, std::string>> BuildAnnotations(const ContainerPlan& plan);
Result<> CheckCgroupsPath(std::string_view path);
Result<SpecLinux> BuildLinux(const ContainerPlan& plan, const CapabilitySets& capabilities);

}  // namespace berth::oci
