// SPDX-License-Identifier: Apache-2.0
#include "pod/record_codec.h"

#include <gtest/gtest.h>

#include "pod/testing/sample_records.h"

namespace berth::pod {
namespace {

TEST(RecordCodec, ASandboxWithEveryMemberSetReadsBackTheSame) {
  SandboxRecord record = FullSandboxRecord();
  std::string text = Encode(record);
  Result<SandboxRecord> back = DecodeSandbox(text);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(Encode(*back), text);
  EXPECT_EQ(back->config.labels, record.config.labels);
  EXPECT_EQ(back->handle->shm_path, record.handle->shm_path);
  EXPECT_EQ(back->config.security.run_as_user, record.config.security.run_as_user);
}

TEST(RecordCodec, AContainerWithEveryMemberSetReadsBackTheSame) {
  ContainerRecord record = FullContainerRecord();
  std::string text = Encode(record);
  Result<ContainerRecord> back = DecodeContainer(text);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(Encode(*back), text);
  EXPECT_EQ(back->config.envs, record.config.envs);
  EXPECT_EQ(back->config.mounts[0].host_path, record.config.mounts[0].host_path);
  EXPECT_EQ(back->config.resources->hugepage_limits, record.config.resources->hugepage_limits);
}

TEST(RecordCodec, AnAbsentMemberHasItsDefault) {
  Result<SandboxRecord> record = DecodeSandbox(R"({"version":1,"id":"a"})");
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->phase, SandboxPhase::kIntent);
  EXPECT_FALSE(record->handle);
}

TEST(RecordCodec, WhatIsNoRecordIsDataLossAndNamesTheMember) {
  struct {
    const char* text;
    const char* fragment;
  } cases[] = {
      {"", "not a JSON object"},
      {"[]", "not a JSON object"},
      {"{\"version\":1", "not a JSON object"},
      {"{}", "version 0"},
      {R"({"version":2})", "version 2"},
      {R"({"version":"1"})", "version"},
      {R"({"version":1,"phase":9})", "phase"},
      {R"({"version":1,"phase":-1})", "phase"},
      {R"({"version":1,"id":7})", "id"},
      {R"({"version":1,"config":{"metadata":{"attempt":4294967296}}})", "config.metadata.attempt"},
      {R"({"version":1,"config":{"metadata":{"attempt":-1}}})", "config.metadata.attempt"},
      {R"({"version":1,"config":{"metadata":{"attempt":1.5}}})", "config.metadata.attempt"},
      {R"({"version":1,"config":{"labels":{"a":1}}})", "config.labels"},
      {R"({"version":1,"owns_cgroup":1})", "owns_cgroup"},
  };
  for (const auto& c : cases) {
    Result<SandboxRecord> record = DecodeSandbox(c.text);
    ASSERT_FALSE(record) << c.text;
    EXPECT_EQ(record.error().code(), Code::kDataLoss) << c.text;
    EXPECT_NE(record.error().message().find(c.fragment), std::string::npos)
        << c.text << ": " << record.error().message();
  }
}

TEST(RecordCodec, TextThatIsNotUtf8StillMakesARecord) {
  ContainerRecord record;
  record.message = "crun: \xff\xfe";
  EXPECT_TRUE(DecodeContainer(Encode(record)));
}

}  // namespace
}  // namespace berth::pod
