// SPDX-License-Identifier: Apache-2.0
// One function per CRI call, each in the file of its name: validate, call, translate. Blocking; on
// an executor's thread. No state of their own. Errors carry the gRPC code that the client will see.
#pragma once

#include "api/cri/services.h"
#include "base/result.h"
#include "cri.pb.h"

namespace berth::api {

namespace v1 = ::runtime::v1;

#define BERTH_CRI_HANDLER(Rpc)                                                             \
  Result<> Rpc(Services& services, const pod::Call& call, const v1::Rpc##Request& request, \
               v1::Rpc##Response* response)

BERTH_CRI_HANDLER(Version);
BERTH_CRI_HANDLER(Status);
BERTH_CRI_HANDLER(RuntimeConfig);
BERTH_CRI_HANDLER(UpdateRuntimeConfig);
BERTH_CRI_HANDLER(RunPodSandbox);
BERTH_CRI_HANDLER(StopPodSandbox);
BERTH_CRI_HANDLER(RemovePodSandbox);
BERTH_CRI_HANDLER(PodSandboxStatus);
BERTH_CRI_HANDLER(CreateContainer);
BERTH_CRI_HANDLER(StartContainer);
BERTH_CRI_HANDLER(StopContainer);
BERTH_CRI_HANDLER(RemoveContainer);
BERTH_CRI_HANDLER(ContainerStatus);
BERTH_CRI_HANDLER(ExecSync);
BERTH_CRI_HANDLER(Exec);
BERTH_CRI_HANDLER(Attach);
BERTH_CRI_HANDLER(PortForward);
BERTH_CRI_HANDLER(ReopenContainerLog);
BERTH_CRI_HANDLER(ContainerStats);
BERTH_CRI_HANDLER(ListContainerStats);
BERTH_CRI_HANDLER(PodSandboxStats);
BERTH_CRI_HANDLER(ListPodSandboxStats);
BERTH_CRI_HANDLER(ListMetricDescriptors);
BERTH_CRI_HANDLER(ListPodSandboxMetrics);
BERTH_CRI_HANDLER(UpdateContainerResources);
BERTH_CRI_HANDLER(UpdatePodSandboxResources);
BERTH_CRI_HANDLER(ListImages);
BERTH_CRI_HANDLER(ImageStatus);
BERTH_CRI_HANDLER(PullImage);
BERTH_CRI_HANDLER(RemoveImage);
BERTH_CRI_HANDLER(ImageFsInfo);

// The lists that a kubelet asks for each second: the encoded response, put together from items that were
// encoded when they last changed (pod/list_item.h).
Result<std::string> ListPodSandbox(Services& services, const pod::Call& call,
                                   const v1::ListPodSandboxRequest& request);
Result<std::string> ListContainers(Services& services, const pod::Call& call,
                                   const v1::ListContainersRequest& request);
// One item as those lists have it.
void AppendListItem(const pod::SandboxStatus& status, std::string* out);
void AppendListItem(const pod::ContainerStatus& status, std::string* out);

// Version for a client of runtime.v1alpha2: it is told the name of the API that it speaks.
Result<> VersionV1Alpha2(Services& services, const pod::Call& call,
                         const v1::VersionRequest& request, v1::VersionResponse* response);

}  // namespace berth::api
