// SPDX-License-Identifier: Apache-2.0
#include "base/wire.h"

#include <gtest/gtest.h>

namespace berth::wire {
namespace {

TEST(WireTest, WhatIsWrittenIsRead) {
  Writer w;
  w.U8(7);
  w.U32(0xdeadbeef);
  w.U64(1ULL << 60);
  w.I64(-5);
  w.Bool(true);
  w.Text("a\0b");
  w.Texts({"x", "", "z"});
  Reader r(w.bytes());
  EXPECT_EQ(*r.U8(), 7);
  EXPECT_EQ(*r.U32(), 0xdeadbeef);
  EXPECT_EQ(*r.U64(), 1ULL << 60);
  EXPECT_EQ(*r.I64(), -5);
  EXPECT_TRUE(*r.Bool());
  EXPECT_EQ(*r.Text(), "a");
  EXPECT_EQ(r.Texts()->size(), 3U);
  EXPECT_TRUE(r.End());
}

TEST(WireTest, EveryCutIsAnError) {
  Writer w;
  w.Text("hello");
  w.Texts({"a", "b"});
  for (size_t cut = 0; cut < w.bytes().size(); ++cut) {
    Reader r(std::string_view(w.bytes()).substr(0, cut));
    bool ok = r.Text().has_value() && r.Texts().has_value();
    EXPECT_FALSE(ok) << cut;
  }
}

TEST(WireTest, LyingCountsAllocateNothing) {
  Writer w;
  w.U32(0xffffffff);
  Reader texts(w.bytes());
  auto r = texts.Texts(0xffffffff);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), Code::kInvalidArgument);
  EXPECT_NE(r.error().message().find("list of 4294967295"), std::string::npos);
  EXPECT_FALSE(texts.U8());
  Reader left("x");
  EXPECT_NE(left.End().error().message().find("1 bytes too many"), std::string::npos);
}

}  // namespace
}  // namespace berth::wire
