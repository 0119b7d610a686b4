// SPDX-License-Identifier: Apache-2.0
// Between the CRI's protobuf messages and pod's plain values; protobuf goes no further than this
// folder. Pure; any thread. From... functions refuse what has no meaning (unknown enum numbers)
// with InvalidArgument.
#pragma once

#include "base/result.h"
#include "cri.pb.h"
#include "image/images.h"
#include "pod/types.h"

namespace berth::api {

namespace v1 = ::runtime::v1;

Result<pod::SandboxConfig> FromProto(const v1::PodSandboxConfig& in);
Result<pod::ContainerConfig> FromProto(const v1::ContainerConfig& in);
pod::LinuxResources FromProto(const v1::LinuxContainerResources& in);
image::Credentials FromProto(const v1::AuthConfig& in);

void ToProto(const pod::PodMetadata& in, v1::PodSandboxMetadata* out);
void ToProto(const pod::SandboxStatus& in, v1::PodSandboxStatus* out);
void ToProto(const pod::SandboxStatus& in, v1::PodSandbox* out);
void ToProto(const pod::ContainerStatus& in, v1::ContainerStatus* out);
void ToProto(const pod::ContainerStatus& in, v1::Container* out);
void ToProto(const image::ImageInfo& in, v1::Image* out);

// SIGTERM of the enum -> 15; RUNTIME_DEFAULT -> 0. InvalidArgument for a number outside the enum.
Result<int> SignalFromProto(v1::Signal signal);
v1::Signal SignalToProto(int signal);

}  // namespace berth::api
