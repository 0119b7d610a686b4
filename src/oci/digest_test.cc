// SPDX-License-Identifier: Apache-2.0
#include "oci/digest.h"

#include <unordered_set>

#include "base/strings.h"
#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

const std::string kHex(64, 'a');

TEST(DigestTest, KeepsAlgorithmAndHex) {
  auto digest = Digest::Parse("sha256:" + kHex);
  ASSERT_TRUE(digest) << digest.error().message();
  EXPECT_EQ(digest->algorithm(), Digest::Algorithm::kSha256);
  EXPECT_EQ(digest->algorithm_name(), "sha256");
  EXPECT_EQ(digest->hex(), kHex);
  EXPECT_EQ(digest->str(), "sha256:" + kHex);
  EXPECT_EQ(digest->ToString(), "sha256:" + kHex);
  digest = Digest::Parse("sha512:" + kHex + kHex);
  ASSERT_TRUE(digest) << digest.error().message();
  EXPECT_EQ(digest->algorithm(), Digest::Algorithm::kSha512);
  EXPECT_EQ(digest->algorithm_name(), "sha512");
  EXPECT_EQ(digest->hex(), kHex + kHex);
  EXPECT_EQ(digest->str(), "sha512:" + kHex + kHex);
}

TEST(DigestTest, FromHexAndFromHashGiveTheSameValue) {
  std::array<uint8_t, 32> hash;
  hash.fill(0xaa);
  EXPECT_EQ(Digest::FromSha256(hash), *Digest::FromHex(kHex));
  hash[0] = 0x0f;
  EXPECT_EQ(Digest::FromSha256(hash).hex().substr(0, 4), "0faa");
  std::array<uint8_t, 64> long_hash;
  long_hash.fill(0xaa);
  EXPECT_EQ(Digest::FromSha512(long_hash), *Digest::Parse("sha512:" + kHex + kHex));
  EXPECT_FAILS(Digest::FromHex(kHex + kHex), Code::kInvalidArgument, "64 lower-case");
  EXPECT_FAILS(Digest::FromHex("abc"), Code::kInvalidArgument, "64 lower-case");
  EXPECT_FAILS(Digest::FromHex("sha256:" + kHex), Code::kInvalidArgument, "64 lower-case");
}

TEST(DigestTest, OrdersAndHashes) {
  Digest a = *Digest::FromHex(std::string(64, '1'));
  Digest b = *Digest::FromHex(std::string(64, '2'));
  EXPECT_LT(a, b);
  EXPECT_NE(a, b);
  Digest c = *Digest::Parse("sha512:" + std::string(128, '1'));
  EXPECT_NE(a, c);
  EXPECT_EQ((std::unordered_set<Digest>{a, b, a, c}.size()), 3u);
}

struct Bad {
  std::string text;
  Code code;
  const char* fragment;
};

// A digest becomes a path component and a part of a URL.
TEST(DigestTest, RefusesWhatIsNoDigest) {
  const Bad table[] = {
      {"", Code::kInvalidArgument, "no algorithm"},
      {"sha256", Code::kInvalidArgument, "no algorithm"},
      {"a/b", Code::kInvalidArgument, "no algorithm"},
      {kHex, Code::kInvalidArgument, "no algorithm"},
      {":" + kHex, Code::kInvalidArgument, "bad syntax"},
      {"sha256:", Code::kInvalidArgument, "bad syntax"},
      {"sha256:../../x", Code::kInvalidArgument, "bad syntax"},
      {"sha256:" + kHex + "/..", Code::kInvalidArgument, "bad syntax"},
      {"sha256:" + kHex + "\n", Code::kInvalidArgument, "bad syntax"},
      {"sha256:" + kHex + std::string(1, '\0'), Code::kInvalidArgument, "bad syntax"},
      {"sha256:" + std::string(63, 'a') + std::string(1, '\0'), Code::kInvalidArgument,
       "bad syntax"},
      {" sha256:" + kHex, Code::kInvalidArgument, "bad syntax"},
      {"SHA256:" + kHex, Code::kInvalidArgument, "bad syntax"},
      {"../sha256:" + kHex, Code::kInvalidArgument, "bad syntax"},
      {"sha256+:" + kHex, Code::kInvalidArgument, "bad syntax"},
      {"sha256:sha256:" + kHex, Code::kInvalidArgument, "bad syntax"},
      {"sha512:..", Code::kInvalidArgument, "bad syntax"},
      {"sha256:" + std::string(1000, 'a'), Code::kInvalidArgument, "bad syntax"},
      {"sha256:" + std::string(63, 'a'), Code::kInvalidArgument, "not 64 lower-case"},
      {"sha256:" + std::string(65, 'a'), Code::kInvalidArgument, "not 64 lower-case"},
      {"sha256:" + std::string(64, 'A'), Code::kInvalidArgument, "not 64 lower-case"},
      {"sha256:" + std::string(64, 'g'), Code::kInvalidArgument, "not 64 lower-case"},
      {"sha512:" + kHex, Code::kInvalidArgument, "not 128 lower-case"},
      {"sha512:" + kHex + kHex + "a", Code::kInvalidArgument, "not 128 lower-case"},
      {"sha512:" + std::string(128, 'A'), Code::kInvalidArgument, "not 128 lower-case"},
      {"sha384:" + std::string(96, 'a'), Code::kInvalidArgument,
       "algorithm sha384 is not supported"},
      {"md5:" + std::string(32, 'a'), Code::kInvalidArgument, "algorithm md5 is not supported"},
  };
  for (const Bad& bad : table) {
    SCOPED_TRACE(Quote(bad.text));
    EXPECT_FAILS(Digest::Parse(bad.text), bad.code, bad.fragment);
  }
}

}  // namespace
}  // namespace berth::oci
