// SPDX-License-Identifier: Apache-2.0
#include "api/admin/metrics.h"

#include <algorithm>
#include <map>

#include "base/strings.h"

namespace berth::api::admin {

namespace {

constexpr const char* kCounter = "counter";
constexpr const char* kGauge = "gauge";

void Begin(std::vector<std::string>& lines, std::string_view name, std::string_view type,
           std::string_view help) {
  lines.push_back(StrCat("# HELP ", name, " ", help));
  lines.push_back(StrCat("# TYPE ", name, " ", type));
}

// A canonical reference has nothing that would have to be escaped.
template <class Value>
void OfImages(std::vector<std::string>& lines, std::string_view name, std::string_view help,
              const std::map<std::string, image::PullStatus>& pulls, Value value) {
  Begin(lines, name, kGauge, help);
  for (const auto& [reference, pull] : pulls)
    lines.push_back(StrCat(name, "{image=\"", reference, "\"} ", value(pull)));
}

std::map<std::string, image::PullStatus> ByImage(const std::vector<image::PullStatus>& pulls) {
  std::map<std::string, image::PullStatus> merged;
  for (const image::PullStatus& pull : pulls) {
    if (merged.size() == kMaxImages && !merged.contains(pull.reference)) continue;
    image::PullStatus& sum = merged[pull.reference];
    sum.seconds = std::max(sum.seconds, pull.seconds);
    sum.received_bytes += pull.received_bytes;
    sum.total_bytes += pull.total_bytes;
    sum.layers_done += pull.layers_done;
    sum.layers += pull.layers;
  }
  return merged;
}

}  // namespace

std::vector<std::string> PullMetrics(const std::vector<image::PullStatus>& pulls,
                                     const image::PullTotals& totals) {
  std::vector<std::string> lines;
  Begin(lines, "berth_image_pulls_total", kCounter, "Pulls that have ended.");
  lines.push_back(StrCat("berth_image_pulls_total{result=\"done\"} ", totals.done));
  lines.push_back(StrCat("berth_image_pulls_total{result=\"failed\"} ", totals.failed));
  lines.push_back(StrCat("berth_image_pulls_total{result=\"cancelled\"} ", totals.cancelled));
  Begin(lines, "berth_image_pull_received_bytes_total", kCounter, "Bytes of layers received.");
  lines.push_back(StrCat("berth_image_pull_received_bytes_total ", totals.received_bytes));
  Begin(lines, "berth_image_pulls_running", kGauge, "Pulls that are going on.");
  lines.push_back(StrCat("berth_image_pulls_running ", pulls.size()));
  const auto images = ByImage(pulls);
  using Pull = image::PullStatus;
  OfImages(lines, "berth_image_pull_received_bytes", "Bytes of layers received by a running pull.",
           images, [](const Pull& pull) { return pull.received_bytes; });
  OfImages(lines, "berth_image_pull_size_bytes", "Bytes of the layers that a running pull fetches.",
           images, [](const Pull& pull) { return pull.total_bytes; });
  OfImages(lines, "berth_image_pull_layers_done", "Layers that a running pull has.", images,
           [](const Pull& pull) { return pull.layers_done; });
  OfImages(lines, "berth_image_pull_layers", "Layers that a running pull needs.", images,
           [](const Pull& pull) { return pull.layers; });
  OfImages(lines, "berth_image_pull_seconds", "How long a running pull has taken so far.", images,
           [](const Pull& pull) { return pull.seconds; });
  return lines;
}

}  // namespace berth::api::admin
