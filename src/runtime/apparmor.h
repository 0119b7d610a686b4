// SPDX-License-Identifier: Apache-2.0
// AppArmor profiles of containers: what the kernel has, and Berth's own default, which is given to the kernel
// through apparmor_parser(8), since it takes compiled policy only. Blocking; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::runtime {

// "name (enforce)" a line, as in securityfs's apparmor/profiles. InvalidArgument for another line.
Result<std::vector<std::string>> ParseApparmorProfiles(std::string_view text);

// kDefaultApparmorProfile (host.h) as policy text.
std::string DefaultApparmorPolicy();

// Runs `parser` (apparmor_parser) on the default policy. NotFound without such a program; FailedPrecondition with
// its words when it refuses.
Result<> LoadDefaultApparmorProfile(const std::string& parser);

}  // namespace berth::runtime
