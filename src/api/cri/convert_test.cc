// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"

#include <gtest/gtest.h>

#include <csignal>

namespace berth::api {
namespace {

TEST(ConvertTest, EverySignalComesBackAsItWas) {
  for (int i = v1::Signal_MIN; i <= v1::Signal_MAX; ++i) {
    ASSERT_TRUE(v1::Signal_IsValid(i));
    auto signal = static_cast<v1::Signal>(i);
    Result<int> number = SignalFromProto(signal);
    ASSERT_TRUE(number);
    // Three names are second names of another signal's number.
    if (signal == v1::SIGNAL_SIGCLD || signal == v1::SIGNAL_SIGIOT || signal == v1::SIGNAL_SIGPOLL)
      continue;
    EXPECT_EQ(SignalToProto(*number), signal) << v1::Signal_Name(signal);
  }
  EXPECT_EQ(*SignalFromProto(v1::SIGNAL_RUNTIME_DEFAULT), 0);
  EXPECT_EQ(*SignalFromProto(v1::SIGNAL_SIGTERM), SIGTERM);
  EXPECT_EQ(*SignalFromProto(v1::SIGNAL_SIGRTMIN), 34);
  EXPECT_EQ(*SignalFromProto(v1::SIGNAL_SIGRTMAX), 64);
  EXPECT_NE(SignalFromProto(static_cast<v1::Signal>(99)).error().message().find("stop signal 99"),
            std::string::npos);
}

v1::PodSandboxConfig Sandbox() {
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_name("n");
  config.mutable_metadata()->set_namespace_("ns");
  config.mutable_metadata()->set_uid("u");
  return config;
}

TEST(ConvertTest, AnAbsentSeccompProfileIsNoneAndAPresentUnsetOneIsRuntimeDefault) {
  v1::PodSandboxConfig config = Sandbox();
  EXPECT_FALSE(FromProto(config)->security.seccomp);
  config.mutable_linux()->mutable_security_context()->mutable_seccomp();
  Result<pod::SandboxConfig> present = FromProto(config);
  ASSERT_TRUE(present);
  EXPECT_EQ(present->security.seccomp->type, pod::SecurityProfile::Type::kRuntimeDefault);
}

TEST(ConvertTest, UnknownEnumNumbersAreRefused) {
  v1::PodSandboxConfig config = Sandbox();
  auto* options = config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_pid(static_cast<v1::NamespaceMode>(7));
  Result<pod::SandboxConfig> refused = FromProto(config);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("pid namespace mode 7"), std::string::npos);

  v1::ContainerConfig container;
  container.mutable_metadata()->set_name("c");
  auto* mount = container.add_mounts();
  mount->set_container_path("/x");
  mount->set_propagation(static_cast<v1::MountPropagation>(9));
  EXPECT_NE(FromProto(container).error().message().find("mount \"/x\": propagation 9"),
            std::string::npos);
}

TEST(ConvertTest, Rule12AnImagesUserIsANumberOrAName) {
  auto convert = [](const std::string& user) {
    image::ImageInfo info;
    info.user = user;
    v1::Image image;
    ToProto(info, &image);
    return image;
  };
  EXPECT_EQ(convert("1003:1004").uid().value(), 1003);
  EXPECT_EQ(convert("www-data:1004").username(), "www-data");
  EXPECT_FALSE(convert("www-data").has_uid());
  EXPECT_FALSE(convert("").has_uid());
  EXPECT_EQ(convert("").username(), "");
}

TEST(ConvertTest, TextThatIsNotUtf8ReachesNoProtobufString) {
  pod::ContainerStatus status;
  status.message = "crun: \xff";
  v1::ContainerStatus out;
  ToProto(status, &out);
  EXPECT_EQ(out.message(), "crun: ?");
}

TEST(ConvertTest, OldProfileStringsAreUnderstood) {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name("c");
  auto* security = config.mutable_linux()->mutable_security_context();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  security->set_seccomp_profile_path("localhost//p.json");
  Result<pod::ContainerConfig> local = FromProto(config);
  ASSERT_TRUE(local);
  EXPECT_EQ(local->security.seccomp->localhost_ref, "/p.json");
  security->set_seccomp_profile_path("nonsense");
  EXPECT_NE(FromProto(config).error().message().find("\"nonsense\" is unknown"), std::string::npos);
#pragma GCC diagnostic pop
}

}  // namespace
}  // namespace berth::api
