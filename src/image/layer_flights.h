// SPDX-License-Identifier: Apache-2.0
// One unpacking per layer, however many pulls want it: the first makes it, the others wait and
// share the result. A registry that is slow holds up its own images only: those of another wait a
// while, then make the layer themselves; whoever commits first has it, the other's copy goes. Owned by
// ImageStore; any thread. A maker never waits for another layer, so waiting cannot go round in a circle.
#pragma once

#include <chrono>
#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/guarded.h"
#include "base/result.h"
#include "image/layer_store.h"

namespace berth::image {

class LayerFlights {
 public:
  struct Key {
    std::string diff_id;
    std::string source;  // the registry that it comes from; "": none
    auto operator<=>(const Key&) const = default;
  };
  using Staged = std::shared_ptr<LayerStore::Staged>;
  using Make = std::function<Result<Staged>()>;
  using IsThere = std::function<Result<bool>()>;

  // `patience`: how long a layer of one source waits for the transfer of another.
  explicit LayerFlights(std::chrono::milliseconds patience = std::chrono::seconds(10))
      : patience_(patience) {}

  // The staged layer `key.diff_id`: made by `make`, or by another pull that is at it. Null: `there`
  // says that it is published. When the other pull fails, this one tries itself. Cancelled when
  // `stop` was asked.
  Result<Staged> Get(const Key& key, std::stop_token stop, const IsThere& there, const Make& make);

 private:
  struct Flight {
    bool running = true;
    std::weak_ptr<LayerStore::Staged> staged;  // gone when every pull that held it gave up
  };
  using Map = std::map<Key, Flight>;
  // Nothing: to be waited for. Null: to be made. While `patient`, other sources are waited for too.
  static std::optional<Staged> Look(const Map& map, const Key& key, bool patient);

  const std::chrono::milliseconds patience_;
  Guarded<Map> flights_;
};

}  // namespace berth::image
