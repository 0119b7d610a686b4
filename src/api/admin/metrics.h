// SPDX-License-Identifier: Apache-2.0
// The image store's figures in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats).
// Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "image/maintenance.h"

namespace berth::api::admin {

// Lines, with their HELP and TYPE. Pulls of one image by different callers are one series; of very
// many images only the first kMaxImages have series of their own.
inline constexpr size_t kMaxImages = 24;
std::vector<std::string> PullMetrics(const std::vector<image::PullStatus>& pulls,
                                     const image::PullTotals& totals);

}  // namespace berth::api::admin
