// SPDX-License-Identifier: Apache-2.0
// Statistics and metrics as the CRI's messages. Pure; any thread.
#pragma once

#include <string>

#include "cri.pb.h"
#include "pod/metrics.h"
#include "pod/stats.h"

namespace berth::api {

namespace v1 = ::runtime::v1;

// The Stream... lists take the same filters.
pod::ContainerFilter FromProto(const v1::ContainerStatsFilter& in);
pod::SandboxFilter FromProto(const v1::PodSandboxStatsFilter& in);
void ToProto(const pod::ContainerStats& in, v1::ContainerStats* out);
void ToProto(const pod::SandboxStats& in, v1::PodSandboxStats* out);
void ToProto(const pod::MetricDescriptor& in, v1::MetricDescriptor* out);
void ToProto(const pod::SandboxMetrics& in, v1::PodSandboxMetrics* out);

}  // namespace berth::api
