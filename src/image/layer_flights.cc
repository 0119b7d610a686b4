// SPDX-License-Identifier: Apache-2.0
#include "image/layer_flights.h"

#include <utility>

#include "base/strings.h"

namespace berth::image {

Result<LayerFlights::Staged> LayerFlights::Get(const std::string& diff_id, std::stop_token stop,
                                               const IsThere& there, const Make& make) {
  const std::stop_callback wake(stop, [this] {
    auto lock = flights_.Lock();
    flights_.NotifyAll();
  });
  {
    auto flights = flights_.Lock();
    flights_.Wait(flights, [&](Map& map) {
      const auto at = map.find(diff_id);
      return stop.stop_requested() || at == map.end() || !at->second.running;
    });
    if (stop.stop_requested()) return Error(Code::kCancelled, StrCat("layer ", diff_id));
    const auto at = flights->find(diff_id);
    if (at != flights->end()) {
      if (Staged staged = at->second.staged.lock()) return staged;
      flights->erase(at);
    }
    (*flights)[diff_id] = Flight{};
  }
  // From here on this thread is the maker: it must end the flight on every way out.
  Result<Staged> made = [&]() -> Result<Staged> {
    if (TRY(there())) return Staged();
    return make();
  }();
  auto flights = flights_.Lock();
  if (made && *made)
    (*flights)[diff_id] = Flight{.running = false, .staged = *made};
  else
    flights->erase(diff_id);
  flights_.NotifyAll();
  return made;
}

}  // namespace berth::image
