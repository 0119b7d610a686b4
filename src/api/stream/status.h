// SPDX-License-Identifier: Apache-2.0
// What the error channel of exec and attach carries at the end. Version 4 and later: a metav1.Status as JSON, so that
// the client learns the exit code; before that the text of an error, or nothing. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace berth::stream {

// `version` is the number in vN.channel.k8s.io, 1 for the names without one.
std::string SuccessStatus(int version);
std::string ExitStatus(int version, uint32_t code);  // code != 0
std::string ErrorStatus(int version, const Error& error);

}  // namespace berth::stream
