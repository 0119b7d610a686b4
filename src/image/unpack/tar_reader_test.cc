// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/tar_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "image/unpack/inflate.h"
#include "tests/support/tar_writer.h"

namespace berth::image::unpack {
namespace {

using berth::testing::GzipStored;
using berth::testing::PaxData;
using berth::testing::TarHeader;
using berth::testing::TarMember;
using berth::testing::TarWriter;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The text in pieces of `step` bytes.
class TextSource final : public ByteSource {
 public:
  TextSource(std::string text, size_t step) : text_(std::move(text)), step_(step) {}
  Result<std::string_view> View() override {
    const size_t end = std::min(text_.size(), (at_ / step_ + 1) * step_);
    return std::string_view(text_).substr(at_, end - at_);
  }
  void Consume(size_t bytes) override { at_ += bytes; }

 private:
  std::string text_;
  size_t step_;
  size_t at_ = 0;
};

struct Read {
  TarEntry entry;
  std::string data;  // with holes filled
};

Result<std::vector<Read>> ReadAllEntries(const std::string& tar, size_t step = 700) {
  TextSource source(tar, step);
  TarReader reader(source, Limits());
  std::vector<Read> all;
  for (;;) {
    std::optional<TarEntry> entry = TRY(reader.Next());
    if (!entry) break;
    Read read{std::move(*entry), {}};
    if (read.entry.sparse) read.data.resize(std::min<uint64_t>(read.entry.size, 1 << 20), '.');
    for (;;) {
      const TarReader::Piece piece = TRY(reader.Data());
      if (piece.bytes.empty()) break;
      if (read.entry.sparse)
        read.data.replace(piece.offset, piece.bytes.size(), piece.bytes);
      else
        read.data += piece.bytes;
    }
    all.push_back(std::move(read));
  }
  TRY(reader.Finish());
  return all;
}

Code CodeOf(const std::string& tar) {
  auto read = ReadAllEntries(tar);
  return read ? Code::kOk : read.error().code();
}

TEST(TarReaderTest, ReadsEntriesWhateverThePieces) {
  TarMember big;
  big.name = "big";
  big.data = std::string(5000, 'b');
  big.uid = uint64_t{1} << 31;
  const std::string tar =
      TarWriter().Dir("d/").File("d/f", "hello").Add(big).Symlink("l", "d/f").Finish();
  for (size_t step : {1UL, 511UL, 512UL, 700UL, 100000UL}) {
    auto read = ReadAllEntries(tar, step);
    ASSERT_TRUE(read) << step << ": " << read.error().message();
    ASSERT_EQ(read->size(), 4U);
    EXPECT_EQ((*read)[0].entry.type, EntryType::kDirectory);
    EXPECT_EQ((*read)[1].data, "hello");
    EXPECT_EQ((*read)[2].data, big.data);
    EXPECT_EQ((*read)[2].entry.uid, 1U << 31);
    EXPECT_EQ((*read)[3].entry.link, "d/f");
  }
}

TEST(TarReaderTest, PaxRecordsOverrideTheHeader) {
  TarMember m;
  m.name = "short";
  m.data = "x";
  m.pax = {{"path", "a/long name"},       {"uid", "4000000000"},     {"mtime", "1.5"},
           {"SCHILY.xattr.user.a", "1="}, {"atime", "-1.250000001"}, {"comment", "no"}};
  auto read = ReadAllEntries(TarWriter().Add(m).File("next", "").Finish());
  ASSERT_TRUE(read) << read.error().message();
  const TarEntry& e = (*read)[0].entry;
  EXPECT_EQ(e.path, "a/long name");
  EXPECT_EQ(e.uid, 4000000000U);
  EXPECT_EQ(e.mtime.tv_sec, 1);
  EXPECT_EQ(e.mtime.tv_nsec, 500'000'000);
  EXPECT_EQ(e.atime->tv_sec, -2);
  EXPECT_EQ(e.atime->tv_nsec, 749'999'999);
  EXPECT_THAT(e.xattrs, ElementsAre(std::pair<std::string, std::string>("user.a", "1=")));
  EXPECT_EQ((*read)[1].entry.path, "next");
}

TEST(TarReaderTest, GnuLongNames) {
  TarMember name;
  name.name = "././@LongLink";
  name.type = 'L';
  name.data = std::string(300, 'n') + '\0';
  auto read = ReadAllEntries(TarWriter().Add(name).File("cut", "x").Finish());
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)[0].entry.path, std::string(300, 'n'));
}

TEST(TarReaderTest, SparseFilesOfEveryPaxFormat) {
  TarMember old;
  old.name = "GNUSparseFile.0/f";
  old.data = "AABB";
  old.pax = {
      {"GNU.sparse.size", "10"}, {"GNU.sparse.map", "1,2,6,2"}, {"GNU.sparse.name", "sparse01"}};
  TarMember data = old;
  data.pax = {{"GNU.sparse.major", "1"},
              {"GNU.sparse.minor", "0"},
              {"GNU.sparse.name", "sparse10"},
              {"GNU.sparse.realsize", "10"}};
  std::string map = "2\n1\n2\n6\n2\n";
  map.resize(512);
  data.data = map + "AABB";
  for (size_t step : {1UL, 700UL}) {
    auto read = ReadAllEntries(TarWriter().Add(old).Add(data).Finish(), step);
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ((*read)[0].entry.path, "sparse01");
    EXPECT_EQ((*read)[0].data, ".AA...BB..");
    EXPECT_EQ((*read)[1].entry.path, "sparse10");
    EXPECT_EQ((*read)[1].data, ".AA...BB..");
  }
}

TEST(TarReaderTest, HostileSparseMapsAndRecordsAreRefusedInBoundedMemory) {
  TarMember m;
  m.name = "f";
  m.data = "AABB";
  m.pax = {{"GNU.sparse.size", "3"}, {"GNU.sparse.map", "0,4"}};
  EXPECT_EQ(CodeOf(TarWriter().Add(m).Finish()), Code::kDataLoss);
  m.pax = {{"GNU.sparse.size", "10"}, {"GNU.sparse.map", "4,2,0,2"}};
  EXPECT_EQ(CodeOf(TarWriter().Add(m).Finish()), Code::kDataLoss);
  m.pax = {{"GNU.sparse.size", "10"}, {"GNU.sparse.map", "9223372036854775807,4"}};
  EXPECT_EQ(CodeOf(TarWriter().Add(m).Finish()), Code::kDataLoss);
  m.data = "4294967296\n" + std::string(501, '\0');
  m.pax = {{"GNU.sparse.major", "1"}, {"GNU.sparse.realsize", "10"}};
  EXPECT_EQ(CodeOf(TarWriter().Add(m).Finish()), Code::kResourceExhausted);
  // An extended header that claims 2 GiB.
  TarMember huge;
  huge.name = "pax";
  huge.type = 'x';
  huge.size = int64_t{2} << 30;
  EXPECT_EQ(CodeOf(TarWriter().Add(huge).Finish()), Code::kResourceExhausted);
}

TEST(TarReaderTest, BrokenPaxRecords) {
  for (const char* bad : {"x", "5 a=b", "0 a=b\n", "7 a=bc", "6 a=bX", "99999999999 a=b\n",
                          "6 =ab\n", "5 ab\n", "-6 a=b\n", "+6 a=b\n", "10 path=\0\0\n"})
    EXPECT_FALSE(ParsePax(bad, Limits())) << bad;
  EXPECT_FALSE(ParsePax(PaxData({{"path", std::string("a\0b", 3)}}), Limits()));
  EXPECT_FALSE(ParsePax(PaxData({{"uid", "-1"}}), Limits()));
  EXPECT_FALSE(ParsePax(PaxData({{"size", "99999999999999999999"}}), Limits()));
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 300; ++i) many.emplace_back("SCHILY.xattr.user." + std::to_string(i), "x");
  EXPECT_EQ(ParsePax(PaxData(many), Limits()).error().code(), Code::kResourceExhausted);
}

TEST(TarReaderTest, WhatIsNoTarIsDataLoss) {
  EXPECT_EQ(CodeOf(std::string(4096, 'x')), Code::kDataLoss);
  EXPECT_EQ(CodeOf("short"), Code::kDataLoss);
  const std::string tar = TarWriter().File("f", std::string(1000, 'f')).Finish();
  EXPECT_EQ(CodeOf(tar.substr(0, 900)), Code::kDataLoss);
  EXPECT_EQ(CodeOf(tar + "x"), Code::kDataLoss);
  EXPECT_EQ(CodeOf(TarWriter().Raw(std::string(512, '\0')).File("f", "").Finish()),
            Code::kDataLoss);
  TarMember odd;
  odd.name = "odd";
  odd.type = 'V';
  EXPECT_EQ(CodeOf(TarWriter().Add(odd).Finish()), Code::kInvalidArgument);
  TarMember owner;
  owner.name = "o";
  owner.uid = 0xffffffff;
  EXPECT_EQ(CodeOf(TarWriter().Add(owner).Finish()), Code::kInvalidArgument);
}

TEST(TarReaderTest, EmptyArchivesAndMissingEndsAreFine) {
  EXPECT_EQ(CodeOf(""), Code::kOk);
  EXPECT_EQ(CodeOf(std::string(1024, '\0')), Code::kOk);
  EXPECT_EQ(CodeOf(std::string(10240, '\0')), Code::kOk);
  EXPECT_EQ(CodeOf(TarWriter().File("f", "x").bytes()), Code::kOk);
}

TEST(CleanPathTest, StaysInside) {
  const struct {
    const char* in;
    const char* out;
  } kCases[] = {{"a/b", "a/b"},     {"/a//b/", "a/b"}, {"./a/./b", "a/b"}, {"../../a", "a"},
                {"a/../../b", "b"}, {".", ""},         {"/", ""},          {"a/..", ""}};
  for (const auto& c : kCases) EXPECT_EQ(*CleanPath(c.in, Limits()), c.out) << c.in;
  EXPECT_FALSE(CleanPath(std::string("a\0b", 3), Limits()));
  EXPECT_FALSE(CleanPath(std::string(256, 'a'), Limits()));
  std::string deep;
  for (int i = 0; i < 600; ++i) deep += "d/";
  EXPECT_EQ(CleanPath(deep, Limits()).error().code(), Code::kResourceExhausted);
}

Result<std::string> InflateAll(const std::string& input, size_t in_step, size_t out_step) {
  auto inflater = TRY(MakeInflater(input));
  std::string out, room(out_step, '\0');
  size_t at = 0;
  for (;;) {
    // Input in a buffer of its own, so that a sanitizer sees any reading outside of it.
    const std::string piece = input.substr(at, in_step);
    std::string_view rest = piece;
    for (;;) {
      const Inflater::Step step = TRY(inflater->Run(rest, std::span(room)));
      rest.remove_prefix(step.taken);
      out.append(room, 0, step.made);
      if (rest.empty() && step.made < out_step) break;
    }
    if (piece.empty()) break;
    at += piece.size();
  }
  TRY(inflater->End());
  return out;
}

TEST(InflateTest, GzipMembersInAnyPieces) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(i * 7);
  for (size_t members : {1UL, 2UL, 7UL}) {
    const std::string gz = GzipStored(text, members);
    for (size_t in : {1UL, 2UL, 13UL, 4096UL, 1UL << 20})
      for (size_t out : {1UL, 100UL, 1UL << 20}) {
        auto got = InflateAll(gz, in, out);
        ASSERT_TRUE(got) << members << " " << in << " " << out << ": " << got.error().message();
        EXPECT_EQ(*got, text);
      }
  }
}

TEST(InflateTest, BrokenGzip) {
  const std::string gz = GzipStored("hello, layer");
  EXPECT_TRUE(InflateAll(gz + std::string(100, '\0'), 7, 64));
  for (std::string bad :
       {gz + "x", gz.substr(0, gz.size() - 1), gz.substr(0, 12), gz + std::string("\0x", 2)}) {
    auto got = InflateAll(bad, 7, 64);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code(), Code::kDataLoss);
  }
  std::string flipped = gz;
  flipped[16] = static_cast<char>(flipped[16] ^ 1);
  auto got = InflateAll(flipped, 1000, 64);
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message(), HasSubstr("checksum"));
}

TEST(InflateTest, AnInputWithoutMagicIsPassedOn) {
  EXPECT_EQ(*InflateAll("plain", 2, 3), "plain");
  EXPECT_EQ(*InflateAll("", 2, 3), "");
}

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
  return out;
}

TEST(InflateTest, ZstdFramesInAnyPieces) {
  std::string text;
  for (int i = 0; i < 30000; ++i) text += std::to_string(i * 7);
  const std::string skippable("\x5a\x2a\x4d\x18\x03\0\0\0abc", 11);
  const std::string stream =
      skippable + Zstd(text.substr(0, 1000)) + skippable + Zstd(text.substr(1000));
  for (size_t in : {1UL, 13UL, 4096UL, 1UL << 20})
    for (size_t out : {1UL, 100UL, 1UL << 20}) {
      auto got = InflateAll(stream, in, out);
      ASSERT_TRUE(got) << in << " " << out << ": " << got.error().message();
      EXPECT_EQ(*got, text);
    }
  EXPECT_EQ(InflateAll(stream.substr(0, stream.size() - 1), 100, 100).error().code(),
            Code::kDataLoss);
  EXPECT_EQ(InflateAll(stream + "junk", 100, 100).error().code(), Code::kDataLoss);
}

TEST(InflateTest, AZstdWindowBeyondTheLimitIsRefused) {
  // Magic, a frame header without single segment, window descriptor of 2 GiB (exponent 21), a block
  // header.
  const std::string frame("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9);
  auto got = InflateAll(frame, 100, 64);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kResourceExhausted) << got.error().message();
}

}  // namespace
}  // namespace berth::image::unpack
