// SPDX-License-Identifier: Apache-2.0
// A WebSocket connection that a client fills with anything, in each form of the channels, and in a tunnel; terminal
// sizes too. The first byte chooses the form, the second says how the rest is cut; the outcome must not depend on it.
#include "api/stream/resize.h"
#include "api/stream/spdy_channels.h"
#include "api/stream/ws_channels.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/stream_user.h"

using berth::fuzz::Require;
namespace stream = berth::stream;

namespace {

std::unique_ptr<stream::Channels> Make(uint8_t form, stream::Output& output,
                                       stream::ChannelUser& user) {
  if (form % 4 == 3) {
    auto tunnel = stream::WsTunnel::Make(output, [&](stream::Output& to) {
      auto spdy = stream::SpdyChannels::Make(to, user, 8);
      Require(spdy.has_value());
      return berth::Result<std::unique_ptr<stream::Channels>>(std::move(*spdy));
    });
    Require(tunnel.has_value());
    return std::move(*tunnel);
  }
  stream::WsOptions options;
  options.base64 = form % 4 == 1;
  options.close_channel = form % 4 == 2;
  for (const char* type : {"stdin", "stdout", "resize"}) {
    stream::WsChannel channel;
    channel.headers.emplace("streamtype", type);
    channel.client_writes = std::string_view(type) != "stdout";
    options.channels.push_back(std::move(channel));
  }
  return std::make_unique<stream::WsChannels>(output, user, options);
}

bool Run(uint8_t form, std::string_view bytes, size_t piece, std::string& seen) {
  berth::fuzz::StreamOutput output;
  berth::fuzz::StreamUser user(seen);
  auto channels = Make(form, output, user);
  user.channels = channels.get();
  channels->Start();
  while (!bytes.empty()) {
    const std::string_view next = bytes.substr(0, piece);
    bytes.remove_prefix(next.size());
    if (!channels->Receive(next)) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes = berth::fuzz::Text(data + 2, size - 2);
  std::string whole, cut;
  const bool good = Run(data[0], bytes, bytes.size() + 1, whole);
  Require(Run(data[0], bytes, data[1] % 16 + 1, cut) == good);
  // Base64 that breaks in the middle: small pieces bring what stood before.
  Require(good ? whole == cut : cut.starts_with(whole));
  stream::ResizeReader resize;
  (void)resize.Feed(bytes);
  return 0;
}
