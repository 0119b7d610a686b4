// SPDX-License-Identifier: Apache-2.0
// What berthd reads from berth-fetch and berth-unpack, which may have been taken over. The first
// byte chooses the message.
#include "image/fetch_protocol.h"
#include "image/unpack_protocol.h"
#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;
namespace image = berth::image;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = berth::fuzz::Text(data + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      if (auto images = image::fetch::DecodeImages(bytes)) {
        Require(images->size() <= image::fetch::kMaxImages);
        auto again = image::fetch::DecodeImages(image::fetch::EncodeImages(*images));
        Require(again && again->size() == images->size());
      }
      break;
    case 1:
      (void)image::fetch::DecodeReply(bytes).has_value();
      break;
    case 2:
      if (auto result = image::DecodeLayerResult(bytes)) {
        Require(result->diff_id.size() == 64);
        Require(result->implied_dirs.size() <= image::kMaxImpliedDirs);
      }
      break;
    case 3:
      (void)image::DecodeUser(bytes).has_value();
      break;
    case 4:
      (void)image::DecodeOutcome(bytes).has_value();
      break;
    default:
      (void)image::fetch::DecodeResolveRequest(bytes).has_value();
      (void)image::DecodeUserQuery(bytes).has_value();
      break;
  }
  return 0;
}
