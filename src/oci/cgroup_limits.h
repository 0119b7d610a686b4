// SPDX-License-Identifier: Apache-2.0
// Limits as a control group's files say them, held against what was asked for: what an update still has to
// write, and what ContainerStatus.resources tells. Pure functions; any thread.
// https://docs.kernel.org/admin-guide/cgroup-v1/ and cgroup-v2.html. Values that the kernel or the OCI
// runtime stores in another unit (pages, cpu.weight) count as equal to what they came from, or an in-place
// resize would never be seen to be complete.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace berth::oci {

// File name -> content, one line. The controller is the name's first part: "cpu.max", "hugetlb.2MB.max".
using CgroupFiles = std::map<std::string, std::string>;
std::string_view ControllerOf(std::string_view file);

// The files that hold what `asked` names, and those that ActualLimits reads.
std::vector<std::string> LimitFiles(const Resources& asked, bool cgroup_v2);

// Which of the files must be written, and with what, so that the group has what `asked` says; empty: it has.
// A file that is missing from `actual` is in the answer too: writing it says why it is not there. Not so for
// hugetlb.*: of a page size that the kernel does not have nothing can be used anyhow.
// InvalidArgument naming the file whose content cannot be read.
Result<CgroupFiles> MissingLimits(const Resources& asked, const CgroupFiles& actual,
                                  bool cgroup_v2);

// `known` with every cpu, memory and cpuset value that the files contradict replaced by theirs. What the
// kernel does not limit stays absent unless `known` has it.
Result<Resources> ActualLimits(const Resources& known, const CgroupFiles& actual, bool cgroup_v2);

// cpu.weight (1 to 10000) of cpu.shares (2 to 262144). OCI runtimes have used two formulas: a line, and since
// runc 1.4 and crun 1.24 a curve on which 1024 is 100. Both are "what 512 shares are".
uint64_t WeightOfShares(uint64_t shares);
uint64_t CurvedWeightOfShares(uint64_t shares);
// The shares whose weight on the line is this.
uint64_t SharesOfWeight(uint64_t weight);

}  // namespace berth::oci
