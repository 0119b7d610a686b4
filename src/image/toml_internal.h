// SPDX-License-Identifier: Apache-2.0
// toml++ as this folder uses it: without exceptions, and without the assertions that malformed text ('[[[') reaches; without
// them it is a parse error, as it should be. Texts go through oci::CheckToml first. For .cc files; any thread.
#pragma once

#define TOML_EXCEPTIONS 0
#define TOML_ASSERT(expr) static_cast<void>(0)
#define TOML_ENABLE_FORMATTERS 0
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <toml++/toml.h>
#pragma GCC diagnostic pop
