// SPDX-License-Identifier: Apache-2.0
// One unpacking per layer, however many pulls want it: the first makes it, the others wait and
// share the result. Owned by ImageStore; any thread. A maker never waits for another layer, so
// waiting cannot go round in a circle.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "base/guarded.h"
#include "base/result.h"
#include "image/layer_store.h"

namespace berth::image {

class LayerFlights {
 public:
  using Staged = std::shared_ptr<LayerStore::Staged>;
  using Make = std::function<Result<Staged>()>;
  using IsThere = std::function<Result<bool>()>;

  // The staged layer `diff_id`: made by `make`, or by another pull that is at it. Null: `there`
  // says that it is published. When the other pull fails, this one tries itself. Cancelled when
  // `stop` was asked.
  Result<Staged> Get(const std::string& diff_id, std::stop_token stop, const IsThere& there,
                     const Make& make);

 private:
  struct Flight {
    bool running = true;
    std::weak_ptr<LayerStore::Staged> staged;  // gone when every pull that held it gave up
  };
  using Map = std::map<std::string, Flight>;
  Guarded<Map> flights_;
};

}  // namespace berth::image
