// SPDX-License-Identifier: Apache-2.0
#include "daemon/handlers.h"

#include <gtest/gtest.h>

namespace berth::daemon {
namespace {

TEST(HandlersTest, WhatTheOperatorNamedMustBeThere) {
  Config config;
  config.handlers["x"] = {.path = "/nonexistent/x", .args = {}, .allowed_annotations = {}};
  Result<ResolvedHandlers> resolved = ResolveHandlers(config);
  ASSERT_FALSE(resolved);
  EXPECT_EQ(resolved.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(resolved.error().message().find("runtime handler \"x\": no program"),
            std::string::npos);
}

TEST(HandlersTest, AMissingImplicitDefaultGivesWayToTheOtherOne) {
  Config config;
  config.state = "/s";
  config.handlers["crun"] = {
      .path = "no-such-crun", .args = {}, .allowed_annotations = {}, .implicit = true};
  config.handlers["runc"] = {
      .path = "/bin/sh", .args = {}, .allowed_annotations = {}, .implicit = true};
  Result<ResolvedHandlers> resolved = ResolveHandlers(config);
  ASSERT_TRUE(resolved) << resolved.error().message();
  EXPECT_EQ(resolved->default_name, "runc");
  ASSERT_EQ(resolved->handlers.size(), 1U);
  EXPECT_EQ(resolved->handlers[0].root, "/s/runtime/runc");
}

TEST(HandlersTest, AnUnknownDefaultIsAnError) {
  Config config;
  config.default_handler = "kata";
  config.handlers["runc"] = {
      .path = "/bin/sh", .args = {}, .allowed_annotations = {}, .implicit = true};
  Result<ResolvedHandlers> resolved = ResolveHandlers(config);
  ASSERT_FALSE(resolved);
  EXPECT_NE(resolved.error().message().find("\"kata\" is not configured"), std::string::npos);
}

TEST(HandlersTest, NoRuntimeAtAllIsAnError) {
  Config config;
  config.handlers["crun"] = {
      .path = "no-such-crun", .args = {}, .allowed_annotations = {}, .implicit = true};
  EXPECT_NE(ResolveHandlers(config).error().message().find("neither crun nor runc"),
            std::string::npos);
}

}  // namespace
}  // namespace berth::daemon
