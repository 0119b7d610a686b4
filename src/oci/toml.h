// SPDX-License-Identifier: Apache-2.0
// The check that every TOML text passes before toml++ sees it. Pure; any thread. TOML 1.0.0:
// https://toml.io/en/v1.0.0
#pragma once

#include <string_view>

#include "base/result.h"

namespace berth::oci {

// toml++ 3 runs into undefined behaviour, instead of an error, where it looks for white space and
// meets certain characters above U+007F. TOML has such characters only in comments, in strings and
// in quoted keys; after a backslash that ends a line of a multi-line string too, which is the one
// valid text that is refused here.
//
// InvalidArgument, "line N: ...", for a text that is not UTF-8 or has a character beyond ASCII
// anywhere else. Whether the text is TOML is left to the parser.
Result<> CheckToml(std::string_view text);

}  // namespace berth::oci
