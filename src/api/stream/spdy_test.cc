// SPDX-License-Identifier: Apache-2.0
// Frames, header blocks, and the channels that they make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "api/stream/spdy_channels.h"
#include "api/stream/testing/recorder.h"
#include "base/strings.h"

namespace berth::stream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SpdyHeaders, DictionaryIsTheOneOfSpdy3) {
  const std::string dictionary = spdy::HeaderDictionary();
  EXPECT_EQ(dictionary.size(), 1423U);
  // The dictionary id that stands in every zlib stream of SPDY/3.
  EXPECT_EQ(::adler32(1, reinterpret_cast<const Bytef*>(dictionary.data()),
                      static_cast<uInt>(dictionary.size())),
            0xe3c6a7c2U);
}

TEST(SpdyHeaders, BlocksComeBackAsTheyWere) {
  auto deflater = spdy::HeaderDeflater::Make();
  auto inflater = spdy::HeaderInflater::Make();
  ASSERT_TRUE(deflater && inflater);
  for (int i = 0; i < 50; ++i) {
    const spdy::Headers headers = {{"streamtype", StrCat("stdin", i)}, {"port", "80"}, {"x", ""}};
    auto block = (*deflater)->Deflate(headers);
    ASSERT_TRUE(block);
    auto inflated = (*inflater)->Inflate(*block);
    ASSERT_TRUE(inflated) << inflated.error().message();
    auto parsed = spdy::ParseHeaders(*inflated);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(*parsed, headers);
  }
}

TEST(SpdyHeaders, ABombIsStoppedEarly) {
  auto deflater = spdy::HeaderDeflater::Make();
  auto inflater = spdy::HeaderInflater::Make();
  auto block = (*deflater)->Deflate({{"a", std::string(1U << 20, 'x')}});
  ASSERT_TRUE(block);
  EXPECT_LT(block->size(), 16U << 10);
  auto inflated = (*inflater)->Inflate(*block);
  ASSERT_FALSE(inflated);
  EXPECT_EQ(inflated.error().code(), Code::kDataLoss);
  EXPECT_EQ(inflated.error().message(), "header block of more than 16384 bytes");
}

TEST(SpdyHeaders, LiesAboutCountsAndLengthsAreRefused) {
  auto refused = [](std::string_view block) {
    auto parsed = spdy::ParseHeaders(block);
    EXPECT_FALSE(parsed);
    return parsed ? std::string() : parsed.error().message();
  };
  EXPECT_EQ(refused(""), "header block is cut short");
  EXPECT_EQ(refused(std::string("\xff\xff\xff\xff", 4)), "header block of 4294967295 headers");
  EXPECT_EQ(refused(std::string("\0\0\0\1\0\0\0\xff\0\0\0\0", 12)), "header block is cut short");
  EXPECT_EQ(refused(std::string("\0\0\0\1\0\0\0\1A\0\0\0\0", 13)), "header name \"A\"");
  EXPECT_EQ(refused(std::string("\0\0\0\1\0\0\0\0\0\0\0\0", 12)), "header name \"\"");
  EXPECT_EQ(refused(std::string("\0\0\0\0x", 5)), "header block with bytes left over");
  EXPECT_EQ(refused(std::string("\0\0\0\2\0\0\0\1a\0\0\0\0\0\0\0\1a\0\0\0\0", 22)),
            "header \"a\" comes twice");
}

class Spdy : public testing::Test {
 protected:
  void SetUp() override {
    auto made = SpdyChannels::Make(output_, user_, 4);
    ASSERT_TRUE(made);
    channels_ = std::move(*made);
    deflater_ = std::move(*spdy::HeaderDeflater::Make());
  }
  std::string Syn(uint32_t id, const spdy::Headers& headers, uint8_t flags = 0) {
    const std::string block = *deflater_->Deflate(headers);
    std::string frame = EncodeControl(1, flags, 10 + block.size());
    StoreWord(frame, id);
    StoreWord(frame, 0);
    return frame + std::string(2, '\0') + block;
  }
  std::string Data(uint32_t id, std::string_view bytes, bool fin = false) {
    return spdy::EncodeDataHead(id, bytes.size(), fin).append(bytes);
  }
  void Give(std::string_view bytes) {
    auto received = channels_->Receive(bytes);
    ASSERT_TRUE(received) << received.error().message();
  }
  std::string Broken(std::string_view bytes) {
    auto received = channels_->Receive(bytes);
    EXPECT_FALSE(received);
    EXPECT_TRUE(
        output_.bytes.ends_with(spdy::EncodeGoAway(last_id_, spdy::GoAwayStatus::kProtocolError)));
    return received ? std::string() : received.error().message();
  }
  void OpenOne() {
    Give(Syn(1, {{"streamtype", "stdin"}}));
    last_id_ = 1;
    output_.bytes.clear();
    user_.log.clear();
  }

  RecordingOutput output_;
  RecordingUser user_;
  std::unique_ptr<SpdyChannels> channels_;
  std::unique_ptr<spdy::HeaderDeflater> deflater_;
  uint32_t last_id_ = 0;
};

TEST_F(Spdy, AStreamIsRepliedToReadAndEnded) {
  // Byte by byte, so that no frame comes whole.
  for (char c : Syn(1, {{"streamtype", "stdin"}}) + Data(1, "abc") + Data(1, "", true))
    Give({&c, 1});
  EXPECT_THAT(user_.log, ElementsAre("open 1 stdin", "data 1 a", "data 1 b", "data 1 c", "end 1"));
  EXPECT_EQ(output_.bytes.substr(0, 4), std::string("\x80\3\0\2", 4));
  EXPECT_EQ(channels_->Room(1), output_.room);
  output_.bytes.clear();
  channels_->Send(1, "xy");
  channels_->End(1);
  EXPECT_EQ(output_.bytes, Data(1, "xy") + Data(1, "", true));
  EXPECT_EQ(channels_->Room(1), 0U);
}

TEST_F(Spdy, PingIsAnsweredAndUnknownFramesArePassedOver) {
  Give(spdy::EncodePing(7) + spdy::EncodePing(8) + EncodeControl(77, 0, 3) + "abc");
  EXPECT_EQ(output_.bytes, spdy::EncodePing(7));
}

TEST_F(Spdy, ResetKillsAStreamAndLateDataIsIgnored) {
  OpenOne();
  Give(spdy::EncodeRstStream(1, spdy::RstStatus::kCancel) + Data(1, "late"));
  EXPECT_THAT(user_.log, ElementsAre("reset 1"));
  channels_->Send(1, "x");
  channels_->Reset(1);
  EXPECT_EQ(output_.bytes, "");
}

TEST_F(Spdy, WindowsAreIgnoredUntilTheClientTakesPart) {
  OpenOne();
  channels_->Send(1, std::string(100'000, 'x'));
  EXPECT_EQ(channels_->Room(1), output_.room);
  Give(spdy::EncodeWindowUpdate(1, 10'000) + spdy::EncodeWindowUpdate(0, 50'000));
  EXPECT_THAT(user_.log, ElementsAre("room", "room"));
  EXPECT_EQ(channels_->Room(1), 0U);
  Give(spdy::EncodeWindowUpdate(1, 30'000));
  EXPECT_EQ(channels_->Room(1), 65'536U + 40'000 - 100'000);
}

TEST_F(Spdy, SettingsSetTheWindowOfStreamsThereAndToCome) {
  OpenOne();
  std::string settings = EncodeControl(4, 0, 12);
  for (uint32_t word : {1U, 7U, 1000U}) StoreWord(settings, word);
  Give(settings);
  EXPECT_EQ(channels_->Room(1), 1000U);
  channels_->Send(1, std::string(600, 'x'));
  EXPECT_EQ(channels_->Room(1), 400U);
  Give(Syn(3, {{"streamtype", "stdout"}}));
  EXPECT_EQ(channels_->Room(3), 1000U);
}

TEST_F(Spdy, WhatWasConsumedIsAcknowledgedForStreamAndSession) {
  OpenOne();
  channels_->Consumed(1, 32'767);
  EXPECT_EQ(output_.bytes, "");
  channels_->Consumed(1, 1);
  EXPECT_EQ(output_.bytes,
            spdy::EncodeWindowUpdate(0, 32'768) + spdy::EncodeWindowUpdate(1, 32'768));
}

TEST_F(Spdy, TooManyUnwantedAndUnidirectionalStreamsAreReset) {
  for (uint32_t id : {1U, 3U, 5U, 7U}) Give(Syn(id, {{"streamtype", "stdin"}}));
  output_.bytes.clear();
  Give(Syn(9, {{"streamtype", "stdin"}}));
  EXPECT_EQ(output_.bytes, spdy::EncodeRstStream(9, spdy::RstStatus::kRefusedStream));
  channels_->Reset(7);
  output_.bytes.clear();
  // One after the other: the blocks of a connection are one zlib stream.
  Give(Syn(11, {{"streamtype", "unwanted"}}));
  Give(Syn(13, {{"streamtype", "stdin"}}, 2));
  EXPECT_EQ(output_.bytes, spdy::EncodeRstStream(11, spdy::RstStatus::kProtocolError) +
                               spdy::EncodeRstStream(13, spdy::RstStatus::kProtocolError));
}

TEST_F(Spdy, RulesThatAreBrokenCloseTheConnection) {
  EXPECT_EQ(Broken(Data(5, "x")), "data for stream 5, which is not there");
  SetUp();
  EXPECT_EQ(Broken(Syn(2, {})), "SYN_STREAM with id 2");
  SetUp();
  OpenOne();
  EXPECT_EQ(Broken(Syn(1, {})), "SYN_STREAM with id 1");
  SetUp();
  last_id_ = 0;
  EXPECT_EQ(Broken(EncodeControl(1, 0, 0xffffff)),
            "control frame of 16777215 bytes, the most is 16384");
  SetUp();
  EXPECT_EQ(Broken(std::string("\x80\2\0\6\0\0\0\0", 8)), "frame is not of SPDY/3");
  SetUp();
  EXPECT_EQ(Broken(EncodeControl(6, 0, 3) + "abc"), "PING of a wrong size");
  SetUp();
  EXPECT_EQ(Broken(EncodeControl(4, 0, 4) + std::string("\0\0\0\1", 4)),
            "SETTINGS of a wrong size");
  SetUp();
  EXPECT_EQ(Broken(EncodeControl(2, 0, 4) + std::string("\0\0\0\1", 4)),
            "SYN_REPLY without a stream of ours");
  SetUp();
  EXPECT_THAT(Broken(EncodeControl(1, 0, 14) + std::string("\0\0\0\1\0\0\0\0\0\0zzzz", 14)),
              HasSubstr("header block is not zlib"));
}

TEST_F(Spdy, AWindowThatOverflowsResetsItsStream) {
  OpenOne();
  Give(spdy::EncodeWindowUpdate(1, 0x7fffffff));
  EXPECT_EQ(output_.bytes, spdy::EncodeRstStream(1, spdy::RstStatus::kFlowControlError));
  EXPECT_THAT(user_.log, ElementsAre("reset 1"));
}

TEST_F(Spdy, GoAwayOfBothSides) {
  OpenOne();
  Give(spdy::EncodeGoAway(0, spdy::GoAwayStatus::kOk));
  EXPECT_THAT(user_.log, ElementsAre("last"));
  EXPECT_FALSE(channels_->IsClosedByClient());
  channels_->End(1);
  Give(Data(1, "", true));
  EXPECT_TRUE(channels_->IsClosedByClient());
  output_.bytes.clear();
  channels_->Close();
  channels_->Close();
  EXPECT_EQ(output_.bytes, spdy::EncodeGoAway(1, spdy::GoAwayStatus::kOk));
}

}  // namespace
}  // namespace berth::stream
