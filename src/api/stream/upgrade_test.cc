// SPDX-License-Identifier: Apache-2.0
#include "api/stream/upgrade.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"

namespace berth::stream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::variant<Upgrade, Refusal> Ask(std::string_view line, std::string_view fields) {
  auto head = ParseHttpHead(StrCat(line, " HTTP/1.1\r\nHost: a\r\n", fields, "\r\n"));
  EXPECT_TRUE(head && *head) << line;
  return Negotiate(**head);
}
Refusal Refused(std::string_view line, std::string_view fields) {
  auto answer = Ask(line, fields);
  if (auto* refusal = std::get_if<Refusal>(&answer)) return std::move(*refusal);
  ADD_FAILURE() << line << " was accepted";
  return {};
}
Upgrade Accepted(std::string_view line, std::string_view fields) {
  auto answer = Ask(line, fields);
  if (auto* upgrade = std::get_if<Upgrade>(&answer)) return std::move(*upgrade);
  ADD_FAILURE() << line << ": " << std::get<Refusal>(answer).message;
  return {};
}

std::string Spdy(std::string_view protocols) {
  return StrCat(
      "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ", protocols, "\r\n");
}
std::string WebSocket(std::string_view protocols) {
  std::string fields =
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  if (!protocols.empty()) fields += StrCat("Sec-WebSocket-Protocol: ", protocols, "\r\n");
  return fields;
}

TEST(Upgrade, TakesTheFirstProtocolOfTheClientThatIsKnown) {
  const Upgrade upgrade =
      Accepted("POST /exec/a-_9", Spdy("v9.channel.k8s.io, v3.channel.k8s.io, v4.channel.k8s.io"));
  EXPECT_EQ(upgrade.kind, Kind::kExec);
  EXPECT_EQ(upgrade.token, "a-_9");
  EXPECT_EQ(upgrade.carrier, Carrier::kSpdy);
  EXPECT_EQ(upgrade.version, 3);
  EXPECT_EQ(SwitchingResponse(upgrade),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            "X-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n");
}

TEST(Upgrade, KnowsEveryWebSocketProtocol) {
  struct Case {
    std::string_view name;
    int version;
    bool base64;
  };
  for (const Case& c : {Case{"v5.channel.k8s.io", 5, false}, Case{"v4.channel.k8s.io", 4, false},
                        Case{"v3.channel.k8s.io", 3, false}, Case{"v2.channel.k8s.io", 2, false},
                        Case{"channel.k8s.io", 1, false}, Case{"base64.channel.k8s.io", 1, true},
                        Case{"v4.base64.channel.k8s.io", 4, true}, Case{"", 1, false}}) {
    const Upgrade upgrade = Accepted("GET /attach/t", WebSocket(c.name));
    EXPECT_EQ(upgrade.version, c.version) << c.name;
    EXPECT_EQ(upgrade.base64, c.base64) << c.name;
    EXPECT_EQ(upgrade.protocol, c.name);
    EXPECT_EQ(upgrade.carrier, Carrier::kWebSocket);
    // The example of RFC 6455, section 1.3.
    EXPECT_THAT(SwitchingResponse(upgrade),
                HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  }
}

TEST(Upgrade, PortForward) {
  EXPECT_EQ(Accepted("GET /portforward/t", WebSocket("SPDY/3.1+portforward.k8s.io")).carrier,
            Carrier::kTunnel);
  EXPECT_EQ(Accepted("GET /portforward/t", Spdy("portforward.k8s.io")).carrier, Carrier::kSpdy);
  EXPECT_THAT(
      Accepted("GET /portforward/t?port=80,81&port=65535", WebSocket("v4.channel.k8s.io")).ports,
      ElementsAre(80, 81, 65535));
  EXPECT_EQ(Refused("GET /portforward/t?port=0", WebSocket("v4.channel.k8s.io")).status, 400);
  EXPECT_EQ(Refused("GET /portforward/t?port=65536", WebSocket("")).status, 400);
  EXPECT_EQ(Refused("GET /portforward/t", WebSocket("v5.channel.k8s.io")).status, 403);
}

TEST(Upgrade, RefusesWithTheRightStatus) {
  const std::string good = Spdy("v4.channel.k8s.io");
  for (std::string_view path :
       {"/", "/exec", "/exec/", "/exec/a/b", "/exec/a%62", "/logs/abc", "//exec/a"})
    EXPECT_EQ(Refused(StrCat("GET ", path), good).status, 404) << path;
  EXPECT_EQ(Refused(StrCat("GET /exec/", std::string(65, 'a')), good).status, 404);
  const Refusal method = Refused("PUT /exec/a", good);
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(RefusalResponse(method),
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "X-Content-Type-Options: nosniff\r\nConnection: close\r\nAllow: GET, POST\r\n"
            "Content-Length: 30\r\n\r\nonly GET and POST are allowed\n");
}

TEST(Upgrade, RefusesHandshakesThatAreNone) {
  EXPECT_THAT(Refused("GET /exec/a", "").message, HasSubstr("does not ask for it"));
  EXPECT_THAT(Refused("GET /exec/a", "Connection: Upgrade\r\nUpgrade: h2c\r\n").message,
              HasSubstr("neither SPDY/3.1 nor websocket"));
  EXPECT_THAT(Refused("GET /exec/a", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n").message,
              HasSubstr("no X-Stream-Protocol-Version"));
  const Refusal unknown = Refused("GET /exec/a", Spdy("v5.channel.k8s.io"));
  EXPECT_EQ(unknown.status, 403);
  EXPECT_THAT(RefusalResponse(unknown),
              HasSubstr("X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\n"));
  EXPECT_EQ(Refused("POST /exec/a", WebSocket("")).status, 405);
  std::string old = WebSocket("");
  old.replace(old.find("13"), 2, "12");
  const Refusal version = Refused("GET /exec/a", old);
  EXPECT_EQ(version.status, 426);
  EXPECT_THAT(RefusalResponse(version), HasSubstr("Sec-WebSocket-Version: 13\r\n"));
  std::string key = WebSocket("");
  key.replace(key.find("dGhl"), 4, "d!hl");
  EXPECT_EQ(Refused("GET /exec/a", key).message, "not a WebSocket handshake");
}

TEST(Upgrade, TellsTheDaemonsErrors) {
  EXPECT_EQ(RefusalOf(Error(Code::kNotFound, "x")).status, 404);
  EXPECT_EQ(RefusalOf(Error(Code::kUnavailable, "x")).status, 503);
  EXPECT_EQ(RefusalOf(Error(Code::kInternal, "x")).status, 500);
  EXPECT_THAT(RefusalResponse(RefusalOf(Error(Code::kResourceExhausted, "x"))),
              HasSubstr("429 Too Many Requests"));
}

}  // namespace
}  // namespace berth::stream
