// SPDX-License-Identifier: Apache-2.0
// Records and configs as JSON text: one object, keys in alphabetical order. Pure functions; any
// thread. Reading: DataLoss naming the member for a wrong type, a number out of range or an unknown
// version; an absent member has its default, so that a member may be added without a new version.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "pod/records.h"

namespace berth::pod {

std::string Encode(const SandboxRecord& record);
std::string Encode(const ContainerRecord& record);  // without spec_json
std::string Encode(const SandboxConfig& config);
std::string Encode(const ContainerConfig& config);
std::string Encode(const LinuxResources& resources);

Result<SandboxRecord> DecodeSandbox(std::string_view text);
Result<ContainerRecord> DecodeContainer(std::string_view text);

}  // namespace berth::pod
