// SPDX-License-Identifier: Apache-2.0
#include "api/stream/http_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"

namespace berth::stream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kGood =
    "GET /exec/abc?x=1 HTTP/1.1\r\nHost: a:1\r\nConnection: keep-alive, Upgrade\r\n"
    "Upgrade:  SPDY/3.1 \r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
    "X-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n";

void ExpectRefused(std::string_view bytes, std::string_view message) {
  auto head = ParseHttpHead(bytes);
  ASSERT_FALSE(head) << bytes;
  EXPECT_EQ(head.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(head.error().message(), HasSubstr(message)) << bytes;
}

TEST(HttpHead, IsReadWithWhatFollowsLeftAlone) {
  auto parsed = ParseHttpHead(StrCat(kGood, "rest"));
  ASSERT_TRUE(parsed && *parsed);
  const HttpHead& head = **parsed;
  EXPECT_EQ(head.method, "GET");
  EXPECT_EQ(head.path, "/exec/abc");
  EXPECT_EQ(head.query, "x=1");
  EXPECT_EQ(head.size, kGood.size());
  EXPECT_TRUE(head.Has("connection", "upgrade"));
  EXPECT_TRUE(head.Has("upgrade", "spdy/3.1"));
  EXPECT_THAT(head.List("x-stream-protocol-version"),
              ElementsAre("v4.channel.k8s.io", "v3.channel.k8s.io"));
  EXPECT_FALSE(head.Single("x-stream-protocol-version"));
  EXPECT_EQ(*head.Single("no-such"), "");
}

TEST(HttpHead, IsIncompleteAtEveryLengthBeforeItsEnd) {
  for (size_t size = 0; size < kGood.size(); ++size) {
    auto parsed = ParseHttpHead(kGood.substr(0, size));
    ASSERT_TRUE(parsed) << size << parsed.error().message();
    EXPECT_FALSE(*parsed) << size;
  }
}

TEST(HttpHead, RefusesWhatTwoParsersCouldReadDifferently) {
  const std::string host = "Host: a\r\n";
  auto with = [&](std::string_view field) {
    return StrCat("GET / HTTP/1.1\r\n", host, field, "\r\n\r\n");
  };
  ExpectRefused(with("X: a\r\n b"), "header field without a name");
  ExpectRefused(with("X : a"), "header field without a name");
  ExpectRefused(with(": a"), "header field without a name");
  ExpectRefused(with("X: a\nY: b"), "line end is not CR LF");
  ExpectRefused(with("X: a\rb"), "line end is not CR LF");
  ExpectRefused(with(std::string_view("X: a\0b", 6)), "line end is not CR LF");
  ExpectRefused(with("X: a\x01"
                     "b"),
                "control character");
  ExpectRefused(with("Content-Length: 1"), "request with a body");
  ExpectRefused(with("Content-Length: 00"), "request with a body");
  ExpectRefused(with("Content-Length: 0\r\nContent-Length: 0"), "comes twice");
  ExpectRefused(with("Transfer-Encoding: chunked"), "request with a body");
  ExpectRefused(with("Host: b"), "host comes twice");
  ExpectRefused("GET / HTTP/1.1\r\nX: a\r\n\r\n", "no Host header field");
  ExpectRefused("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "version is not HTTP/1.1");
  ExpectRefused("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "target is not a path");
  ExpectRefused("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target is not a path");
  ExpectRefused("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "target is not a path");
  ExpectRefused("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "method is not a token");
  ExpectRefused("GET\r\nHost: a\r\n\r\n", "request line");
  EXPECT_TRUE(ParseHttpHead(with("Content-Length: 0")));
}

TEST(HttpHead, HasLimits) {
  std::string long_head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  long_head.append(kMaxHead, 'x');
  ExpectRefused(long_head, "head is longer than 16384 bytes");
  ExpectRefused(long_head + "\r\n\r\n", "head is longer than 16384 bytes");
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (size_t i = 0; i < kMaxHeadFields; ++i) many += "X: a\r\n";
  ExpectRefused(many + "\r\n", "more than 100 header fields");
}

TEST(HttpHead, QueryValuesAreDecoded) {
  auto values = QueryValues("port=80&x=1&port=9%30,70&por%74=1&portx=3", "port");
  ASSERT_TRUE(values);
  EXPECT_THAT(*values, ElementsAre("80", "90,70", "1"));
  auto broken = QueryValues("port=%4", "port");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message(), "query with a broken escape");
}

}  // namespace
}  // namespace berth::stream
