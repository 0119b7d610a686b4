// SPDX-License-Identifier: Apache-2.0
// What the CRI handlers may use. Borrowed: the daemon owns all of it and it outlives the server.
// Any thread.
#pragma once

#include <functional>
#include <string>

#include "api/sessions/session.h"
#include "image/images.h"
#include "pod/engine.h"
#include "runtime/network.h"
#include "runtime/runtime.h"

namespace berth::api {

struct Services {
  pod::Engine& engine;
  image::Images& images;
  runtime::Runtime& runtime;
  runtime::Network& network;
  sessions::Sessions& sessions;
  const Clock& clock;
  bool systemd_cgroup = false;
  std::string config_json;  // for `crictl info`; critest reads stateDir from it
  // UpdateRuntimeConfig: the node's pod CIDRs, with commas between them. Empty: there is no CNI template.
  std::function<Result<>(const std::string& pod_cidr)> set_pod_cidr = {};
};

}  // namespace berth::api
