// SPDX-License-Identifier: Apache-2.0
// What a request asks for and whether it gets it: path, method, and the choice of carrier and protocol. Pure; any
// thread. Names of protocols: k8s.io/cri-streaming, remotecommand and portforward; WebSocket handshake: RFC 6455, 4.2.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "api/stream/http_head.h"
#include "api/stream/protocol.h"

namespace berth::stream {

enum class Carrier {
  kSpdy,
  kWebSocket,
  kTunnel,  // SPDY inside WebSocket
};

struct Upgrade {
  Kind kind{};
  std::string token;
  Carrier carrier{};
  std::string protocol;         // as the client spells it; empty: none was asked for
  int version = 1;              // of exec's and attach's protocol
  bool base64 = false;          // WebSocket messages are text
  std::string accept;           // Sec-WebSocket-Accept
  std::vector<uint32_t> ports;  // of the query, for port-forward over plain WebSocket
};

struct Refusal {
  int status = 400;
  std::string message;
  std::vector<std::pair<std::string, std::string>> fields;
};

std::variant<Upgrade, Refusal> Negotiate(const HttpHead& head);

// Status and Retry-After for an error of the daemon.
Refusal RefusalOf(const Error& error);

std::string SwitchingResponse(const Upgrade& upgrade);
// text/plain, with Connection: close.
std::string RefusalResponse(const Refusal& refusal);
// application/json, with Connection: close.
std::string DocumentResponse(std::string_view json);

std::string WebSocketAccept(std::string_view key);

}  // namespace berth::stream
