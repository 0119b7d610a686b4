// SPDX-License-Identifier: Apache-2.0
// A gRPC service written down as a table of methods, each under one or more full names: how one
// handler serves both runtime.v1 and runtime.v1alpha2, whose messages are the same on the wire.
// Filled before the server starts, immutable from then on; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "api/cri/server_call.h"
#include "base/strings.h"

namespace berth::api {

class ServiceTable {
 public:
  explicit ServiceTable(std::string_view service) : service_(service) {}

  void Add(std::string_view package, std::string_view method, CallStarter starter) {
    methods_.emplace(StrCat("/", package, ".", service_, "/", method), std::move(starter));
  }
  // By its full name; null: none.
  const CallStarter* Find(const std::string& path) const {
    const auto found = methods_.find(path);
    return found == methods_.end() ? nullptr : &found->second;
  }

 private:
  const std::string service_;
  std::map<std::string, CallStarter> methods_;
};

}  // namespace berth::api
