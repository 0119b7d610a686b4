// SPDX-License-Identifier: Apache-2.0
// A SPDY connection that a client fills with anything: frames, header blocks, windows. The first byte says how the rest
// is cut into pieces; the outcome must not depend on it.
#include "api/stream/spdy_channels.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/stream_user.h"

using berth::fuzz::Require;
namespace stream = berth::stream;

namespace {

bool Run(std::string_view bytes, size_t piece, std::string& seen) {
  berth::fuzz::StreamOutput output;
  berth::fuzz::StreamUser user(seen);
  auto channels = stream::SpdyChannels::Make(output, user, 8);
  Require(channels.has_value());
  user.channels = channels->get();
  while (!bytes.empty()) {
    const std::string_view next = bytes.substr(0, piece);
    bytes.remove_prefix(next.size());
    if (!(*channels)->Receive(next)) return false;
  }
  for (stream::ChannelId id : user.open) Require((*channels)->Room(id) <= output.Room());
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = berth::fuzz::Text(data + 1, size - 1);
  std::string whole, cut;
  const bool good = Run(bytes, bytes.size() + 1, whole);
  Require(Run(bytes, data[0] % 16 + 1, cut) == good);
  Require(whole == cut);
  (void)stream::spdy::ParseHeaders(bytes).has_value();
  return 0;
}
