// SPDX-License-Identifier: Apache-2.0
// FakeFetcher: a registry in memory, made of tar bytes that the test gives. Owned by the test; any
// thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "image/fetcher.h"

namespace berth::image {

struct FakeLayer {
  std::string blob;  // what is transferred
  std::string tar;   // what diff_id is computed of; empty: the blob itself
  oci::LayerCompression compression = oci::LayerCompression::kNone;
};

struct FakeImage {
  std::vector<FakeLayer> layers;
  ImageProcess process;
  std::map<std::string, std::string> labels;
};

class FakeFetcher final : public Fetcher {
 public:
  // Serves `image` under the reference, replacing what was there. Returns the image id.
  std::string Add(const std::string& reference, FakeImage image);
  void Remove(const std::string& reference);
  // The image is signed by this key (PEM).
  void Sign(const std::string& reference, const std::string& key_pem);
  // The next calls fail with this: Resolve, or the transfer of the layer with that index (after
  // half its bytes).
  void FailResolve(Code code, std::string message);
  void FailLayer(size_t layer, Code code, std::string message);
  // FetchLayer waits until it is switched off again, or Cancel.
  void HoldLayers(bool hold);
  void ClearFailures();
  // What is given to the next sessions of a LocalSource, whatever its fd is.
  void SetLocal(std::vector<std::pair<std::string, FakeImage>> images);

  int resolves() const;
  int layer_transfers() const;

  Result<std::unique_ptr<FetchSession>> Open(RemoteSource source) override;

 private:
  friend class FakeSession;
  struct State;
  std::shared_ptr<State> state_ = MakeState();
  static std::shared_ptr<State> MakeState();
};

}  // namespace berth::image
