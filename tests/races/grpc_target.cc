// SPDX-License-Identifier: Apache-2.0
#include "grpc_target.h"

#include "base/strings.h"

namespace berth {

namespace v1 = ::runtime::v1;
using Stub = v1::RuntimeService::Stub;

template <class Request, class Response>
Result<Response> GrpcTarget::Call(Patience patience,
                                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                               Response*),
                                  const Request& request) {
  grpc::ClientContext context;
  // None of these calls takes long: one that does hangs.
  const Patience limit = patience.count() != 0 ? patience : std::chrono::seconds(120);
  context.set_deadline(std::chrono::system_clock::now() + limit);
  Response response;
  grpc::Status status = (client_.runtime().*method)(&context, request, &response);
  if (!status.ok()) return Error(static_cast<Code>(status.error_code()), status.error_message());
  return response;
}

Result<std::string> GrpcTarget::Run(const std::string& pod_name, Patience patience) {
  v1::RunPodSandboxRequest request;
  v1::PodSandboxConfig& config = *request.mutable_config();
  config.mutable_metadata()->set_name(pod_name);
  config.mutable_metadata()->set_namespace_("races");
  config.mutable_metadata()->set_uid(pod_name);
  config.set_log_directory(StrCat(log_directory_, "/", pod_name));
  auto& context = *config.mutable_linux()->mutable_security_context();
  context.mutable_namespace_options()->set_pid(v1::CONTAINER);
  return TRY(Call(patience, &Stub::RunPodSandbox, request)).pod_sandbox_id();
}

Result<> GrpcTarget::StopPod(const std::string& id, Patience patience) {
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  TRY(Call(patience, &Stub::StopPodSandbox, request));
  return Ok();
}

Result<> GrpcTarget::RemovePod(const std::string& id, Patience patience) {
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  TRY(Call(patience, &Stub::RemovePodSandbox, request));
  return Ok();
}

Result<std::string> GrpcTarget::Create(const std::string& pod_id, const std::string& name,
                                       Patience patience) {
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod_id);
  v1::ContainerConfig& config = *request.mutable_config();
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(image_);
  for (const char* word :
       {"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"})
    config.add_command(word);
  config.set_log_path(StrCat(name, ".log"));
  auto& context = *config.mutable_linux()->mutable_security_context();
  context.mutable_namespace_options()->set_pid(v1::CONTAINER);
  return TRY(Call(patience, &Stub::CreateContainer, request)).container_id();
}

Result<> GrpcTarget::Start(const std::string& id, Patience patience) {
  v1::StartContainerRequest request;
  request.set_container_id(id);
  TRY(Call(patience, &Stub::StartContainer, request));
  return Ok();
}

Result<> GrpcTarget::Stop(const std::string& id, std::chrono::seconds grace, Patience patience) {
  v1::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(grace.count());
  TRY(Call(patience, &Stub::StopContainer, request));
  return Ok();
}

Result<> GrpcTarget::Remove(const std::string& id, Patience patience) {
  v1::RemoveContainerRequest request;
  request.set_container_id(id);
  TRY(Call(patience, &Stub::RemoveContainer, request));
  return Ok();
}

Result<> GrpcTarget::Exec(const std::string& id, Patience patience) {
  v1::ExecSyncRequest request;
  request.set_container_id(id);
  request.add_cmd("true");
  request.set_timeout(60);
  // Another code than 0 is that of a command which was killed with its container.
  TRY(Call(patience, &Stub::ExecSync, request));
  return Ok();
}

Result<> GrpcTarget::ExecTrue(const std::string& id) {
  v1::ExecSyncRequest request;
  request.set_container_id(id);
  request.add_cmd("true");
  request.set_timeout(60);
  const auto response = TRY(Call({}, &Stub::ExecSync, request));
  if (response.exit_code() == 0) return Ok();
  return Error(Code::kInternal, StrCat("`true` ended with ", response.exit_code()));
}

Result<> GrpcTarget::Update(const std::string& id, Patience patience) {
  v1::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  request.mutable_linux()->set_cpu_shares(512);
  TRY(Call(patience, &Stub::UpdateContainerResources, request));
  return Ok();
}

Result<pod::SandboxState> GrpcTarget::PodState(const std::string& id) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  const auto response = TRY(Call({}, &Stub::PodSandboxStatus, request));
  return static_cast<pod::SandboxState>(response.status().state());
}

Result<pod::ContainerState> GrpcTarget::StateOf(const std::string& id) {
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  const auto response = TRY(Call({}, &Stub::ContainerStatus, request));
  return static_cast<pod::ContainerState>(response.status().state());
}

std::vector<pod::RaceTarget::Listed> GrpcTarget::ListPods() {
  std::vector<Listed> out;
  const auto response = Call({}, &Stub::ListPodSandbox, v1::ListPodSandboxRequest());
  if (!response) return out;
  for (const v1::PodSandbox& pod : response->items())
    out.push_back({pod.id(), pod.metadata().name(), pod.state() == v1::SANDBOX_READY});
  return out;
}

std::vector<pod::ContainerStatus> GrpcTarget::ListContainers(const std::string& pod_id) {
  v1::ListContainersRequest request;
  request.mutable_filter()->set_pod_sandbox_id(pod_id);
  std::vector<pod::ContainerStatus> out;
  const auto response = Call({}, &Stub::ListContainers, request);
  if (!response) return out;
  for (const v1::Container& container : response->containers()) {
    out.emplace_back().id = container.id();
    out.back().state = static_cast<pod::ContainerState>(container.state());
  }
  return out;
}

void GrpcTarget::Exit(const std::string& id) {
  v1::ExecSyncRequest request;
  request.set_container_id(id);
  for (const char* word : {"kill", "-TERM", "1"}) request.add_cmd(word);
  (void)Call({}, &Stub::ExecSync, request);  // it may not run
}

Result<> GrpcTarget::List() {
  TRY(Call({}, &Stub::ListPodSandbox, v1::ListPodSandboxRequest()));
  TRY(Call({}, &Stub::ListContainers, v1::ListContainersRequest()));
  TRY(Call({}, &Stub::ListContainerStats, v1::ListContainerStatsRequest()));
  TRY(Call({}, &Stub::ListPodSandboxStats, v1::ListPodSandboxStatsRequest()));
  return Ok();
}

}  // namespace berth
