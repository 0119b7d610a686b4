// SPDX-License-Identifier: Apache-2.0
// An image's /etc/passwd and /etc/group as text, and who a container runs as by them. Pure
// functions of untrusted bytes; any thread. Formats: passwd(5), group(5). No NSS, no getpwnam:
// those would load the image's libraries.
#pragma once

#include <string_view>

#include "base/result.h"
#include "image/images.h"

namespace berth::image::unpack {

// Ids above this are refused everywhere (CVE-2024-40635: they wrap in somebody's 32-bit
// arithmetic).
inline constexpr int64_t kMaxUserId = 2147483647;
inline constexpr size_t kMaxUserFile = 10U << 20;

// Rules (CRI LinuxContainerSecurityContext, OCI image config "User"):
//   who              uid > username > the image's user ("", "u" or "u:g"); a user of the image gives way
//                    whole, its group too
//   digits           are a uid, never a name (CVE-2016-3697); the entry with that uid only adds gid, name,
//                    home and memberships
//   gid              query.gid > the image's ":g" > the passwd entry's > 0
//   additional_gids  the gid, then the groups that list the name (unless strict_groups), then
//                    supplemental_groups; no repeats
// NotFound for a name that is not there; InvalidArgument for ids out of range and for bad grammar;
// DataLoss when the very entry that is asked for is broken.
Result<ResolvedUser> ResolveUser(std::string_view passwd, std::string_view group,
                                 const UserQuery& query);

}  // namespace berth::image::unpack
