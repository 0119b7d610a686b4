// SPDX-License-Identifier: Apache-2.0
#include "oci/reference.h"

#include "base/strings.h"
#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

const std::string kHex(64, 'c');
const std::string kDigest = "sha256:" + kHex;

struct Good {
  std::string text;
  std::string domain;
  std::string path;
  std::string canonical;
};

TEST(ReferenceTest, CompletesNamesAsDockerDoes) {
  const Good table[] = {
      {"busybox", "docker.io", "library/busybox", "docker.io/library/busybox:latest"},
      {"busybox:1.36", "docker.io", "library/busybox", "docker.io/library/busybox:1.36"},
      {"docker.io/busybox", "docker.io", "library/busybox", "docker.io/library/busybox:latest"},
      {"index.docker.io/busybox", "docker.io", "library/busybox",
       "docker.io/library/busybox:latest"},
      {"team/app", "docker.io", "team/app", "docker.io/team/app:latest"},
      {"localhost/app", "localhost", "app", "localhost/app:latest"},
      {"localhost:5000", "docker.io", "library/localhost", "docker.io/library/localhost:5000"},
      {"localhost:5000/a/b:v1", "localhost:5000", "a/b", "localhost:5000/a/b:v1"},
      {"Upper/app", "Upper", "app", "Upper/app:latest"},
      {"registry.k8s.io/pause:3.9", "registry.k8s.io", "pause", "registry.k8s.io/pause:3.9"},
      {"[::1]:5000/app", "[::1]:5000", "app", "[::1]:5000/app:latest"},
      {"[2001:db8::1]/app", "[2001:db8::1]", "app", "[2001:db8::1]/app:latest"},
      {"10.0.0.1:80/app", "10.0.0.1:80", "app", "10.0.0.1:80/app:latest"},
      {"a.b/c__d/e---f/g.h_i", "a.b", "c__d/e---f/g.h_i", "a.b/c__d/e---f/g.h_i:latest"},
      {"app@" + kDigest, "docker.io", "library/app", "docker.io/library/app@" + kDigest},
      {"r.io/app:v1@" + kDigest, "r.io", "app", "r.io/app:v1@" + kDigest},
      {"xn--7o8h.com/app:_x", "xn--7o8h.com", "app", "xn--7o8h.com/app:_x"},
  };
  for (const Good& good : table) {
    SCOPED_TRACE(good.text);
    auto reference = Reference::Parse(good.text);
    ASSERT_TRUE(reference) << reference.error().message();
    EXPECT_EQ(reference->domain(), good.domain);
    EXPECT_EQ(reference->path(), good.path);
    EXPECT_EQ(reference->str(), good.canonical);
    auto again = Reference::Parse(reference->str());
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(*again, *reference);
  }
}

TEST(ReferenceTest, RefusesWhatIsNoName) {
  struct Bad {
    std::string text;
    const char* fragment;
  };
  const Bad table[] = {
      {"", "empty"},
      {std::string(2000, 'a'), "too long"},
      {kHex, "is an image id"},
      {kDigest, "is an image id"},
      {"Busybox", "must be lower case"},
      {"docker.io/Library/x", "must be lower case"},
      {"../../etc/passwd", "bad registry name"},
      {"a/../b", "bad repository name"},
      {"r.io/", "bad repository name"},
      {"/x", "bad repository name"},
      {"r.io//x", "bad repository name"},
      {"r.io/a b", "bad repository name"},
      {"r.io/a___b", "bad repository name"},
      {"r.io/a..b", "bad repository name"},
      {"r.io/a._b", "bad repository name"},
      {"r.io/-a", "bad repository name"},
      {"r.io/a-", "bad repository name"},
      {"r.io/a%2e%2e", "bad repository name"},
      {"r.io/a?x=1", "bad repository name"},
      {"r.io/a#b", "bad repository name"},
      {"r.io/a\n", "bad repository name"},
      {std::string("r.io/a\0b", 8), "bad repository name"},
      {"r.io/\xc3\xa9", "bad repository name"},
      {"https://r.io/a", "bad registry name"},
      {"user:pw@r.io/a", "digest"},
      {"-r.io/a", "bad registry name"},
      {"r..io/a", "bad registry name"},
      {"r.io./a", "bad registry name"},
      {"r_x.io/a", "bad registry name"},
      {"r.io:0/a", "bad registry name"},
      {"r.io:65536/a", "bad registry name"},
      {"r.io:/a", "bad registry name"},
      {"r.io:80:90/a", "bad registry name"},
      {"r.io:80x/a", "bad registry name"},
      {"[::1/a", "bad registry name"},
      {"[::1].x/a", "bad registry name"},
      {"[fe80::1%25eth0]:1/a", "bad registry name"},
      {std::string("[::1\0]:1/a", 10), "bad registry name"},
      {"app:", "bad tag"},
      {"app:.x", "bad tag"},
      {"app:-x", "bad tag"},
      {"app:a b", "bad tag"},
      {"r.io/app:a/b", "bad tag"},
      {"app:" + std::string(129, 'a'), "bad tag"},
      {"r.io/" + std::string(256, 'a'), "longer than 255"},
      {std::string(250, 'a') + "/" + std::string(10, 'b'), "longer than 255"},
      {std::string(300, 'a') + ".io/x", "registry name is too long"},
      {"app@", "digest"},
      {"app@sha256:abc", "not 64 lower-case"},
      {"app@" + kDigest + "@" + kDigest, "bad syntax"},
      {"app@sha256:" + std::string(64, 'C'), "not 64 lower-case"},
  };
  for (const Bad& bad : table) {
    SCOPED_TRACE(Quote(bad.text));
    EXPECT_FAILS(Reference::Parse(bad.text), Code::kInvalidArgument, bad.fragment);
    EXPECT_FAILS(Reference::Parse(bad.text), Code::kInvalidArgument, "image reference \"");
  }
  EXPECT_FAILS(Reference::Parse("app@md5:" + kHex), Code::kInvalidArgument, "md5 is not supported");
}

TEST(ReferenceTest, AcceptsTheLongestAllowed) {
  EXPECT_TRUE(Reference::Parse("r.io/" + std::string(255, 'a') + ":" + std::string(128, 't')));
}

TEST(ReferenceTest, GivesTagAndDigestForms) {
  Reference tagged = *Reference::Parse("busybox:1");
  Digest digest = *Digest::Parse(kDigest);
  EXPECT_EQ(tagged.Name(), "docker.io/library/busybox");
  EXPECT_EQ(*tagged.TagForm(), "docker.io/library/busybox:1");
  EXPECT_EQ(tagged.DigestForm(digest), "docker.io/library/busybox@" + kDigest);
  EXPECT_EQ(tagged.ManifestName(), "1");

  Reference pinned = tagged.WithDigest(digest);
  EXPECT_EQ(pinned.str(), "docker.io/library/busybox@" + kDigest);
  EXPECT_FALSE(pinned.TagForm());
  EXPECT_EQ(pinned.ManifestName(), kDigest);
  EXPECT_EQ(Reference::Parse("busybox:1@" + kDigest)->ManifestName(), kDigest);
  EXPECT_EQ(Reference::Parse("app@sha512:" + kHex + kHex)->ManifestName(), "sha512:" + kHex + kHex);
}

TEST(ReferenceTest, OnlyDockerHubHasAnotherHost) {
  EXPECT_EQ(Reference::Parse("busybox")->RegistryHost(), "registry-1.docker.io");
  EXPECT_EQ(Reference::Parse("quay.io:443/a/b")->RegistryHost(), "quay.io:443");
}

TEST(ImageIdTest, IsWholeLowerCaseHexOnly) {
  EXPECT_TRUE(LooksLikeImageId(kHex));
  EXPECT_TRUE(LooksLikeImageId(kDigest));
  EXPECT_EQ(ParseImageId(kHex)->str(), kDigest);
  EXPECT_FALSE(LooksLikeImageId(""));
  EXPECT_FALSE(LooksLikeImageId(kHex.substr(1)));
  EXPECT_FALSE(LooksLikeImageId(std::string(64, 'C')));
  EXPECT_FALSE(LooksLikeImageId("sha512:" + kHex));
  EXPECT_FALSE(LooksLikeImageId("sha512:" + kHex + kHex));
  EXPECT_FALSE(LooksLikeImageId("docker.io/library/" + kHex));
}

}  // namespace
}  // namespace berth::oci
