// SPDX-License-Identifier: Apache-2.0
// What every Network promises, checked on a fresh one: run for FakeNetwork and CniNetwork alike.
// Calls gtest's EXPECT_ and ASSERT_; one thread.
#pragma once

#include <functional>
#include <memory>

#include "runtime/network.h"

namespace berth::runtime {

// `make` gives a Network that is ready and has nothing; it is called once per promise, and what it
// gave is destroyed before the next call.
void CheckNetworkContract(const std::function<std::unique_ptr<Network>()>& make);

}  // namespace berth::runtime
