// SPDX-License-Identifier: Apache-2.0
#include "api/stream/upgrade.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/strings.h"

namespace berth::stream {

namespace {

constexpr size_t kMaxToken = 64;
constexpr std::string_view kForwardProtocol = "portforward.k8s.io";
constexpr std::string_view kTunnelProtocol = "SPDY/3.1+portforward.k8s.io";
constexpr std::string_view kProtocolField = "X-Stream-Protocol-Version";

struct Protocol {
  std::string_view name;
  int version;
  bool base64 = false;
  Carrier carrier = Carrier::kWebSocket;
};
constexpr Protocol kSpdyStdio[] = {{"v4.channel.k8s.io", 4},
                                   {"v3.channel.k8s.io", 3},
                                   {"v2.channel.k8s.io", 2},
                                   {"channel.k8s.io", 1}};
constexpr Protocol kSpdyForward[] = {{kForwardProtocol, 1}};
constexpr Protocol kWebSocketStdio[] = {{"v5.channel.k8s.io", 5},
                                        {"v4.channel.k8s.io", 4},
                                        {"v3.channel.k8s.io", 3},
                                        {"v2.channel.k8s.io", 2},
                                        {"channel.k8s.io", 1},
                                        {"v4.base64.channel.k8s.io", 4, true},
                                        {"base64.channel.k8s.io", 1, true},
                                        {"", 1}};
constexpr Protocol kWebSocketForward[] = {{kTunnelProtocol, 1, false, Carrier::kTunnel},
                                          {"v4.channel.k8s.io", 4},
                                          {"v4.base64.channel.k8s.io", 4, true},
                                          {"", 1}};

Refusal Refuse(int status, std::string message) {
  return {.status = status, .message = std::move(message), .fields = {}};
}

std::optional<Kind> KindOf(std::string_view name) {
  if (name == "exec") return Kind::kExec;
  if (name == "attach") return Kind::kAttach;
  if (name == "portforward") return Kind::kPortForward;
  return std::nullopt;
}

bool IsToken(std::string_view token) {
  return !token.empty() && token.size() <= kMaxToken &&
         std::all_of(token.begin(), token.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-' || c == '_';
         });
}

// The first of the client's that is known; it lists what it prefers first.
template <size_t N>
const Protocol* Choose(const std::vector<std::string_view>& wanted, const Protocol (&known)[N]) {
  for (std::string_view name : wanted)
    for (const Protocol& protocol : known)
      if (!name.empty() && protocol.name == name) return &protocol;
  return nullptr;
}

void Take(const Protocol& protocol, Upgrade& upgrade) {
  upgrade.protocol = protocol.name;
  upgrade.version = protocol.version;
  upgrade.base64 = protocol.base64;
}

template <size_t N>
std::optional<Refusal> TakeSpdy(const HttpHead& head, const Protocol (&known)[N],
                                Upgrade& upgrade) {
  const auto wanted = head.List("x-stream-protocol-version");
  if (wanted.empty())
    return Refuse(400, StrCat("unable to upgrade: no ", kProtocolField, " header field"));
  const Protocol* chosen = Choose(wanted, known);
  if (chosen == nullptr) {
    Refusal refusal = Refuse(403, "unable to upgrade: none of the client's protocols is known");
    for (const Protocol& protocol : known)
      refusal.fields.emplace_back("X-Accepted-Stream-Protocol-Versions", protocol.name);
    return refusal;
  }
  upgrade.carrier = Carrier::kSpdy;
  Take(*chosen, upgrade);
  return std::nullopt;
}

// 16 bytes in base64: 22 digits and "==".
bool IsKey(std::string_view key) {
  return key.size() == 24 && key.ends_with("==") &&
         std::all_of(key.begin(), key.end() - 2, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '+' || c == '/';
         });
}

Result<std::vector<uint32_t>> ParsePorts(std::string_view query) {
  std::vector<uint32_t> ports;
  for (const std::string& value : TRY(QueryValues(query, "port"))) {
    for (std::string_view piece : Split(value, ',')) {
      if (ports.size() == kMaxPorts)
        return Error(Code::kInvalidArgument, StrCat("more than ", kMaxPorts, " ports"));
      ports.push_back(static_cast<uint32_t>(TRY(ParseInt(piece, 1, UINT16_MAX, "port"))));
    }
  }
  return ports;
}

template <size_t N>
std::optional<Refusal> TakeWebSocket(const HttpHead& head, const Protocol (&known)[N],
                                     Upgrade& upgrade) {
  if (head.method != "GET") return Refuse(405, "WebSocket needs GET");
  const auto version = head.Single("sec-websocket-version");
  const auto key = head.Single("sec-websocket-key");
  if (!version || !key || !IsKey(*key)) return Refuse(400, "not a WebSocket handshake");
  if (*version != "13") {
    Refusal refusal = Refuse(426, "only version 13 of WebSocket is known");
    refusal.fields.emplace_back("Sec-WebSocket-Version", "13");
    return refusal;
  }
  const auto wanted = head.List("sec-websocket-protocol");
  const Protocol* chosen = wanted.empty() ? &known[N - 1] : Choose(wanted, known);
  if (chosen == nullptr) return Refuse(403, "none of the client's WebSocket protocols is known");
  upgrade.carrier = chosen->carrier;
  Take(*chosen, upgrade);
  upgrade.accept = WebSocketAccept(*key);
  if (upgrade.kind == Kind::kPortForward && upgrade.carrier == Carrier::kWebSocket) {
    auto ports = ParsePorts(head.query);
    if (!ports) return Refuse(400, ports.error().message());
    upgrade.ports = std::move(*ports);
  }
  return std::nullopt;
}

std::string_view Reason(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

}  // namespace

std::variant<Upgrade, Refusal> Negotiate(const HttpHead& head) {
  const size_t slash = head.path.find('/', 1);
  const auto kind =
      slash == std::string::npos ? std::nullopt : KindOf(head.path.substr(1, slash - 1));
  if (!kind || !IsToken(std::string_view(head.path).substr(slash + 1)))
    return Refuse(404, "no such path");
  if (head.method != "GET" && head.method != "POST") {
    Refusal refusal = Refuse(405, "only GET and POST are allowed");
    refusal.fields.emplace_back("Allow", "GET, POST");
    return refusal;
  }
  Upgrade upgrade;
  upgrade.kind = *kind;
  upgrade.token = head.path.substr(slash + 1);
  const bool forward = *kind == Kind::kPortForward;
  std::optional<Refusal> refusal;
  if (!head.Has("connection", "upgrade")) {
    refusal = Refuse(400, "unable to upgrade: the request does not ask for it");
  } else if (head.Has("upgrade", "websocket")) {
    refusal = forward ? TakeWebSocket(head, kWebSocketForward, upgrade)
                      : TakeWebSocket(head, kWebSocketStdio, upgrade);
  } else if (head.Has("upgrade", "spdy/3.1")) {
    refusal = forward ? TakeSpdy(head, kSpdyForward, upgrade) : TakeSpdy(head, kSpdyStdio, upgrade);
  } else {
    refusal = Refuse(400, "unable to upgrade: neither SPDY/3.1 nor websocket");
  }
  if (refusal) return std::move(*refusal);
  return upgrade;
}

Refusal RefusalOf(const Error& error) {
  switch (error.code()) {
    case Code::kNotFound:
      return Refuse(404, error.message());
    case Code::kInvalidArgument:
      return Refuse(400, error.message());
    case Code::kResourceExhausted: {
      Refusal refusal = Refuse(429, error.message());
      refusal.fields.emplace_back("Retry-After", "60");
      return refusal;
    }
    case Code::kUnavailable:
      return Refuse(503, error.message());
    default:
      return Refuse(500, error.message());
  }
}

std::string WebSocketAccept(std::string_view key) {
  const std::string text = StrCat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::array<unsigned char, 32> encoded;
  const int size =
      ::EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(digest.size()));
  return {reinterpret_cast<const char*>(encoded.data()), static_cast<size_t>(size)};
}

std::string SwitchingResponse(const Upgrade& upgrade) {
  std::string response = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
  if (upgrade.carrier == Carrier::kSpdy) {
    response += StrCat("Upgrade: SPDY/3.1\r\n", kProtocolField, ": ", upgrade.protocol, "\r\n");
  } else {
    response += StrCat("Upgrade: websocket\r\nSec-WebSocket-Accept: ", upgrade.accept, "\r\n");
    if (!upgrade.protocol.empty())
      response += StrCat("Sec-WebSocket-Protocol: ", upgrade.protocol, "\r\n");
  }
  return response += "\r\n";
}

std::string RefusalResponse(const Refusal& refusal) {
  const std::string body = refusal.message + "\n";
  std::string response = StrCat("HTTP/1.1 ", refusal.status, " ", Reason(refusal.status),
                                "\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                "X-Content-Type-Options: nosniff\r\nConnection: close\r\n");
  for (const auto& [name, value] : refusal.fields) response += StrCat(name, ": ", value, "\r\n");
  return response += StrCat("Content-Length: ", body.size(), "\r\n\r\n", body);
}

std::string DocumentResponse(std::string_view json) {
  return StrCat(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ",
      json.size(), "\r\n\r\n", json);
}

}  // namespace berth::stream
