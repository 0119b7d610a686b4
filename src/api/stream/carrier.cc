// SPDX-License-Identifier: Apache-2.0
#include "api/stream/carrier.h"

#include "api/stream/forward_session.h"
#include "api/stream/spdy_channels.h"
#include "api/stream/stdio_session.h"
#include "api/stream/ws_channels.h"
#include "base/strings.h"

namespace berth::stream {

namespace {

constexpr size_t kStdioStreams = 16;
constexpr size_t kForwardStreams = 512;  // two for each connection

constexpr int kFirstCloseVersion = 5;

WsOptions StdioChannels(const Upgrade& upgrade, const Redeemed& redeemed) {
  WsOptions options;
  options.base64 = upgrade.base64;
  options.close_channel = upgrade.version >= kFirstCloseVersion;
  // By number: stdin, stdout, stderr, error, resize.
  for (std::string_view type : {"stdin", "stdout", "stderr", "error", "resize"}) {
    WsChannel channel;
    channel.headers.emplace("streamtype", type);
    channel.client_writes = type == "stdin" || type == "resize";
    options.channels.push_back(std::move(channel));
  }
  // An empty message on the first channel that the client reads tells it that all is set up.
  options.channels[redeemed.std_out ? 1 : redeemed.std_err ? 2 : 3].greet = true;
  return options;
}

// Two channels for each port, whose first bytes are the port: data, error.
WsOptions ForwardChannels(const Upgrade& upgrade) {
  WsOptions options;
  options.base64 = upgrade.base64;
  for (size_t i = 0; i < upgrade.ports.size(); ++i) {
    const uint32_t port = upgrade.ports[i];
    for (std::string_view type : {"data", "error"}) {
      WsChannel channel;
      channel.headers.emplace("streamtype", type);
      channel.headers.emplace("port", StrCat(port));
      channel.headers.emplace("requestid", StrCat(i));
      channel.client_writes = type == "data";
      channel.greet = true;
      channel.first = {static_cast<char>(port & 0xff), static_cast<char>(port >> 8)};
      options.channels.push_back(std::move(channel));
    }
  }
  return options;
}

}  // namespace

Result<std::unique_ptr<Session>> MakeSession(SessionHost& host, const Upgrade& upgrade,
                                             const Redeemed& redeemed, const Timeouts& timeouts) {
  if (upgrade.kind == Kind::kPortForward) {
    const bool fixed = upgrade.carrier == Carrier::kWebSocket;
    if (fixed && upgrade.ports.empty())
      return Error(Code::kInvalidArgument, "query parameter \"port\" is required");
    return std::unique_ptr<Session>(std::make_unique<ForwardSession>(
        host, ForwardOptions{.creation_timeout = timeouts.creation, .fixed = fixed}));
  }
  return std::unique_ptr<Session>(
      std::make_unique<StdioSession>(host, StdioOptions{.kind = upgrade.kind,
                                                        .version = upgrade.version,
                                                        .std_in = redeemed.std_in,
                                                        .std_out = redeemed.std_out,
                                                        .std_err = redeemed.std_err,
                                                        .terminal = redeemed.terminal,
                                                        .creation_timeout = timeouts.creation}));
}

Result<std::unique_ptr<Channels>> MakeChannels(Output& output, ChannelUser& user,
                                               const Upgrade& upgrade, const Redeemed& redeemed) {
  const bool forward = upgrade.kind == Kind::kPortForward;
  const size_t streams = forward ? kForwardStreams : kStdioStreams;
  auto spdy = [&user, streams](Output& to) -> Result<std::unique_ptr<Channels>> {
    return std::unique_ptr<Channels>(TRY(SpdyChannels::Make(to, user, streams)));
  };
  if (upgrade.carrier == Carrier::kSpdy) return spdy(output);
  if (upgrade.carrier == Carrier::kTunnel)
    return std::unique_ptr<Channels>(TRY(WsTunnel::Make(output, spdy)));
  return std::unique_ptr<Channels>(std::make_unique<WsChannels>(
      output, user, forward ? ForwardChannels(upgrade) : StdioChannels(upgrade, redeemed)));
}

}  // namespace berth::stream
