// SPDX-License-Identifier: Apache-2.0
// WebSocket frames, base64, and the channels that they make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/stream/base64.h"
#include "api/stream/testing/recorder.h"
#include "api/stream/ws_channels.h"
#include "base/base64.h"
#include "base/strings.h"

namespace berth::stream {
namespace {

using testing::ElementsAre;

constexpr std::string_view kMask = "\x11\x22\x33\x44";

// A client's frame: masked.
std::string Frame(uint8_t first, std::string_view payload) {
  std::string out = ws::EncodeHead(static_cast<ws::Opcode>(first & 0x0f), payload.size());
  out[0] = static_cast<char>(first);
  out[1] = static_cast<char>(static_cast<uint8_t>(out[1]) | 0x80);
  out += kMask;
  for (size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ kMask[i % 4]);
  return out;
}
std::string Binary(std::string_view payload) { return Frame(0x82, payload); }
std::string Text(std::string_view payload) { return Frame(0x81, payload); }
// A server's frame.
std::string Sent(ws::Opcode opcode, std::string_view payload) {
  return ws::EncodeHead(opcode, payload.size()).append(payload);
}

class Ws : public testing::Test {
 protected:
  void Make(bool base64, bool close_channel) {
    WsOptions options;
    options.base64 = base64;
    options.close_channel = close_channel;
    for (std::string_view type : {"stdin", "stdout"}) {
      WsChannel channel;
      channel.headers.emplace("streamtype", type);
      channel.client_writes = type == "stdin";
      channel.greet = type == "stdout";
      options.channels.push_back(channel);
    }
    channels_ = std::make_unique<WsChannels>(output_, user_, options);
    channels_->Start();
    user_.log.clear();
  }
  void Give(std::string_view bytes) {
    auto received = channels_->Receive(bytes);
    ASSERT_TRUE(received) << received.error().message();
  }
  // The error, with the code of the Close that the client gets.
  std::string Broken(std::string_view bytes, uint16_t code) {
    Make(false, false);
    auto received = channels_->Receive(bytes);
    EXPECT_FALSE(received);
    EXPECT_TRUE(output_.bytes.ends_with(ws::EncodeClose(code))) << HexEncode(output_.bytes);
    return received ? std::string() : received.error().message();
  }

  RecordingOutput output_;
  RecordingUser user_;
  std::unique_ptr<WsChannels> channels_;
};

TEST_F(Ws, GreetsAndOpensItsChannels) {
  Make(false, false);
  EXPECT_EQ(output_.bytes, Sent(ws::Opcode::kBinary, "\x01"));
}

TEST_F(Ws, MessagesBecomeDataHoweverTheyAreCut) {
  Make(false, false);
  const std::string all = Binary(std::string("\0abc", 4)) + Frame(0x02, std::string("\0d", 2)) +
                          Frame(0x89, "ping") + Frame(0x00, "") + Frame(0x80, "e") +
                          Binary("\1no") + Binary("\7no") + Binary("");
  for (char c : all) Give({&c, 1});
  EXPECT_THAT(user_.log, ElementsAre("data 0 a", "data 0 b", "data 0 c", "data 0 d", "data 0 e"));
  EXPECT_EQ(output_.bytes, Sent(ws::Opcode::kBinary, "\x01") + Sent(ws::Opcode::kPong, "ping"));
}

TEST_F(Ws, LongMessagesHaveLongLengths) {
  Make(false, false);
  for (size_t size : {125U, 126U, 65535U, 65536U}) {
    user_.log.clear();
    Give(Binary(std::string(1, '\0') + std::string(size - 1, 'x')));
    EXPECT_THAT(user_.log, ElementsAre("data 0 " + std::string(size - 1, 'x')));
    output_.bytes.clear();
    channels_->Send(1, std::string(size - 1, 'y'));
    EXPECT_EQ(output_.bytes, Sent(ws::Opcode::kBinary, "\x01" + std::string(size - 1, 'y')));
  }
}

TEST_F(Ws, Base64GoesBothWays) {
  Make(true, false);
  EXPECT_EQ(output_.bytes, Sent(ws::Opcode::kText, "1"));
  Give(Text("0Zm9vCgo=") + Text("0") + Text("0eA==") + Text("/eA=="));
  EXPECT_THAT(user_.log, ElementsAre("data 0 foo\n\n", "data 0 x"));
  output_.bytes.clear();
  channels_->Send(1, "\n");
  EXPECT_EQ(output_.bytes, Sent(ws::Opcode::kText, "1Cg=="));
  auto broken = channels_->Receive(Text("0Zm9"));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message(), "message is not base64");
}

TEST_F(Ws, TheCloseChannelEndsStdin) {
  Make(false, true);
  Give(Binary(std::string("\xff\0", 2)) + Binary(std::string("\0late", 5)));
  EXPECT_THAT(user_.log, ElementsAre("end 0"));
  EXPECT_FALSE(channels_->Receive(Binary("\xff\x09")));
  Make(false, true);
  EXPECT_FALSE(channels_->Receive(Binary("\xff")));
  Make(false, false);  // before v5 it is a channel that is not there
  Give(Binary(std::string("\xff\0", 2)));
  EXPECT_THAT(user_.log, ElementsAre());
}

TEST_F(Ws, CloseIsAnsweredAndEndsEverything) {
  Make(false, false);
  output_.bytes.clear();
  Give(Frame(0x88, "\x03\xe9") + Binary(std::string("\0x", 2)));
  EXPECT_TRUE(channels_->IsClosedByClient());
  EXPECT_THAT(user_.log, ElementsAre());
  EXPECT_EQ(output_.bytes, ws::EncodeClose(1001));
  channels_->Close();
  channels_->Send(1, "x");
  EXPECT_EQ(output_.bytes, ws::EncodeClose(1001));
  EXPECT_EQ(channels_->Room(1), 0U);
}

TEST_F(Ws, RulesThatAreBrokenCloseWithTheirCode) {
  EXPECT_EQ(Broken(std::string("\x82\x01x", 3), 1002), "frame without a mask");
  EXPECT_EQ(Broken(Frame(0xc2, "x"), 1002), "frame with reserved bits");
  EXPECT_EQ(Broken(Frame(0x83, "x"), 1002), "frame with opcode 3");
  EXPECT_EQ(Broken(Frame(0x80, "x"), 1002), "continuation of nothing");
  EXPECT_EQ(Broken(Frame(0x02, "x") + Binary("y"), 1002), "message inside a message");
  EXPECT_EQ(Broken(Frame(0x09, "x"), 1002), "control frame that is long or in fragments");
  EXPECT_EQ(Broken(Frame(0x89, std::string(126, 'x')), 1002),
            "control frame that is long or in fragments");
  EXPECT_EQ(Broken(Frame(0x88, "x"), 1002), "Close with half a code");
  EXPECT_EQ(Broken(Frame(0x88, "\x03\xed"), 1002), "Close with code 1005");
  EXPECT_EQ(Broken(Frame(0x88, "\x03\xe8\xff"), 1007), "Close with a broken text");
  EXPECT_EQ(Broken(std::string("\x82\xfe\0\x05mask", 8), 1002), "frame length is not the shortest");
  EXPECT_EQ(Broken(std::string("\x82\xff\0\0\0\0\0\0\xff\xffmask", 14), 1002),
            "frame length is not the shortest");
  EXPECT_EQ(Broken(std::string("\x82\xff\0\0\0\0\x02\0\0\1mask", 14), 1009),
            "message of more than 33554432 bytes");
}

TEST(Base64, ComesInPieces) {
  for (std::string_view text : {"", "f", "fo", "foo", "foob", "fooba", "foobar"}) {
    const std::string encoded = Base64Encode(text);
    for (size_t cut = 0; cut <= encoded.size(); ++cut) {
      Base64Decoder decoder;
      auto first = decoder.Feed(std::string_view(encoded).substr(0, cut));
      auto second = decoder.Feed(std::string_view(encoded).substr(cut));
      ASSERT_TRUE(first && second && decoder.End());
      EXPECT_EQ(*first + *second, text);
    }
  }
  for (std::string_view bad : {"=", "a===", "a=b=", "aa=a", "aaaa====", "aa==aaaa", "a a="}) {
    Base64Decoder decoder;
    EXPECT_FALSE(decoder.Feed(bad)) << bad;
  }
  Base64Decoder decoder;
  ASSERT_TRUE(decoder.Feed("aaa"));
  auto end = decoder.End();
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code(), Code::kInvalidArgument);
}

TEST(WsTunnel, CarriesSpdyInBinaryMessages) {
  RecordingOutput output;
  Output* inner_output = nullptr;
  RecordingUser user;
  auto tunnel = WsTunnel::Make(output, [&](Output& to) -> Result<std::unique_ptr<Channels>> {
    inner_output = &to;
    WsOptions none;
    return std::unique_ptr<Channels>(std::make_unique<WsChannels>(to, user, none));
  });
  ASSERT_TRUE(tunnel);
  inner_output->Write("head", "body");
  EXPECT_EQ(output.bytes, Sent(ws::Opcode::kBinary, "headbody"));
  auto text = (*tunnel)->Receive(Text("x"));
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().message(), "text message in a tunnel");
}

}  // namespace
}  // namespace berth::stream
