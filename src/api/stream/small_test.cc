// SPDX-License-Identifier: Apache-2.0
// Status objects, terminal sizes, the queue of bytes, packets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/stream/byte_queue.h"
#include "api/stream/protocol.h"
#include "api/stream/resize.h"
#include "api/stream/status.h"

namespace berth::stream {
namespace {

TEST(Status, Version4IsAJsonStatus) {
  EXPECT_EQ(SuccessStatus(4), R"({"metadata":{},"status":"Success"})");
  EXPECT_EQ(
      ExitStatus(5, 7),
      R"({"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 7",)"
      R"("reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}})");
  EXPECT_EQ(ErrorStatus(4, Error(Code::kInternal, "a\xff\"b")),
            "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"Internal error occurred: "
            "a\xef\xbf\xbd\\\"b\",\"reason\":\"InternalError\",\"code\":500}");
}

TEST(Status, EarlierVersionsAreTextOrNothing) {
  EXPECT_EQ(SuccessStatus(3), "");
  EXPECT_EQ(ExitStatus(3, 7), "command terminated with non-zero exit code: exit status 7");
  EXPECT_EQ(ErrorStatus(1, Error(Code::kInternal, "x")), "Internal error occurred: x");
}

TEST(Resize, TakesTheLastOfTheObjectsHoweverTheyAreCut) {
  ResizeReader reader;
  EXPECT_FALSE(reader.Feed("{\"Width\":10"));
  auto size = reader.Feed(",\"Height\":20}\n{\"width\":80,\"HEIGHT\":24,\"x\":null} {");
  ASSERT_TRUE(size);
  EXPECT_EQ(size->width, 80);
  EXPECT_EQ(size->height, 24);
  EXPECT_FALSE(reader.Feed("\"Width\":-1}"));
  EXPECT_FALSE(reader.Feed("{\"Width\":1,\"Height\":1}")) << "broken once, ignored from then on";
}

TEST(Resize, RefusesWhatIsNoSize) {
  for (const char* bad : {"x", "[1]", "{\"Width\":65536,\"Height\":1}", "{\"Width\":\"1\"}", "{]}",
                          "{\"Width\":1.5}"}) {
    ResizeReader reader;
    EXPECT_FALSE(reader.Feed(bad)) << bad;
    EXPECT_FALSE(reader.Feed("{\"Width\":1,\"Height\":1}")) << bad;
  }
  ResizeReader endless;
  EXPECT_FALSE(endless.Feed("{" + std::string(100'000, ' ')));
}

TEST(ByteQueue, GivesBytesInOrder) {
  ByteQueue queue;
  std::string in, out;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece(static_cast<size_t>(i * 7 % 500), static_cast<char>('a' + i % 26));
    in += piece;
    queue.Append(piece);
    const size_t n = std::min<size_t>(queue.size(), 211);
    out += queue.View().substr(0, n);
    queue.Consume(n);
  }
  out += queue.View();
  queue.Clear();
  EXPECT_EQ(out, in);
  EXPECT_TRUE(queue.empty());
}

TEST(Protocol, PortsHaveALimit) {
  Redeemed redeemed;
  redeemed.ports = {80, 443};
  wire::Writer writer;
  Encode(writer, redeemed);
  wire::Reader reader(writer.bytes());
  Redeemed back;
  ASSERT_TRUE(Decode(reader, back));
  EXPECT_EQ(back.ports, redeemed.ports);
  redeemed.ports.assign(kMaxPorts + 1, 80);
  wire::Writer many;
  Encode(many, redeemed);
  wire::Reader many_reader(many.bytes());
  auto refused = Decode(many_reader, back);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "redeemed: 65 ports");
}

}  // namespace
}  // namespace berth::stream
