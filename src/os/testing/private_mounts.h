// SPDX-License-Identifier: Apache-2.0
// Runs a part of a test in a mount namespace of its own, all private, which ends with it.
// Descriptors of directories must be opened inside: those from outside belong to the other
// namespace.
#pragma once

#include <functional>
#include <string>

namespace berth::os {

// Empty when `work` ran; otherwise why not (not root, or mounting is not allowed): GTEST_SKIP() <<
// that.
std::string InPrivateMounts(const std::function<void()>& work);

}  // namespace berth::os
