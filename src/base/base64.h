// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648, section 4) of bytes, with padding. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace berth {

std::string Base64Encode(std::string_view bytes);

}  // namespace berth
