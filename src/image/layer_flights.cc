// SPDX-License-Identifier: Apache-2.0
#include "image/layer_flights.h"

#include <utility>

#include "base/strings.h"

namespace berth::image {

std::optional<LayerFlights::Staged> LayerFlights::Look(const Map& map, const Key& key,
                                                       bool patient) {
  bool running = false;
  for (auto at = map.lower_bound({key.diff_id, ""});
       at != map.end() && at->first.diff_id == key.diff_id; ++at) {
    if (at->second.running) {
      running = running || patient || at->first.source == key.source;
    } else if (Staged staged = at->second.staged.lock()) {
      return staged;
    }
  }
  if (running) return std::nullopt;
  return Staged();
}

Result<LayerFlights::Staged> LayerFlights::Get(const Key& key, std::stop_token stop,
                                               const IsThere& there, const Make& make) {
  const std::stop_callback wake(stop, [this] {
    auto lock = flights_.Lock();
    flights_.NotifyAll();
  });
  {
    auto flights = flights_.Lock();
    std::optional<Staged> found;
    const auto over = [&](const Map& map, bool patient) {
      if (stop.stop_requested()) return true;
      found = Look(map, key, patient);
      return found.has_value();
    };
    if (!flights_.WaitFor(flights, patience_, [&](const Map& map) { return over(map, true); }))
      flights_.Wait(flights, [&](const Map& map) { return over(map, false); });
    if (stop.stop_requested()) return Error(Code::kCancelled, StrCat("layer ", key.diff_id));
    if (*found) return *found;
    std::erase_if(*flights, [](const auto& entry) {
      return !entry.second.running && entry.second.staged.expired();
    });
    (*flights)[key] = Flight{};
  }
  // From here on this thread is the maker: it must end the flight on every way out.
  Result<Staged> made = [&]() -> Result<Staged> {
    if (TRY(there())) return Staged();
    return make();
  }();
  auto flights = flights_.Lock();
  if (made && *made)
    (*flights)[key] = Flight{.running = false, .staged = *made};
  else
    flights->erase(key);
  flights_.NotifyAll();
  return made;
}

}  // namespace berth::image
