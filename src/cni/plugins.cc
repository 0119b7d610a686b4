// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "cni/plugin.h"

namespace berth::cni {

const Plugin* FindPlugin(std::string_view name) {
  constexpr std::array kAll{&kLoopback, &kHostLocal, &kBridge,   &kPortmap,
                            &kPtp,      &kBandwidth, &kFirewall, &kTuning};
  for (const Plugin* plugin : kAll)
    if (plugin->name == name) return plugin;
  return nullptr;
}

}  // namespace berth::cni
