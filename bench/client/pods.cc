// SPDX-License-Identifier: Apache-2.0
#include "pods.h"

#include "base/strings.h"

namespace berth::bench {

namespace v1 = ::runtime::v1;
using Stub = v1::RuntimeService::Stub;

template <class Request, class Response>
Result<Response> Pods::Call(const char* step,
                            grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                         Response*),
                            const Request& request, double& sum) {
  const Clock::time_point began = Clock::now();
  Response response = TRY(client_.Do(client_.runtime(), method, request), step);
  const double took = MillisecondsSince(began);
  samples_.Add(step, took);
  sum += took;
  return response;
}

v1::PodSandboxConfig Pods::PodConfig(const std::string& name) const {
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("bench");
  config.mutable_metadata()->set_uid(name);
  if (!options_.host_network) config.set_hostname(name);
  config.set_log_directory(StrCat(options_.log_directory, "/", name));
  v1::LinuxPodSandboxConfig& linux_config = *config.mutable_linux();
  linux_config.set_cgroup_parent(StrCat(options_.cgroup_parent, "/", name));
  v1::LinuxSandboxSecurityContext& context = *linux_config.mutable_security_context();
  context.mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  context.mutable_namespace_options()->set_pid(v1::CONTAINER);
  context.mutable_namespace_options()->set_network(options_.host_network ? v1::NODE : v1::POD);
  return config;
}

v1::ContainerConfig Pods::ContainerConfig(const std::string& name) const {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(options_.image);
  config.mutable_image()->set_user_specified_image(options_.image);  // CRI-O insists on it
  for (const std::string& word : options_.command) config.add_command(word);
  config.set_log_path(StrCat(name, ".log"));
  v1::LinuxContainerSecurityContext& context = *config.mutable_linux()->mutable_security_context();
  context.mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  context.mutable_namespace_options()->set_pid(v1::CONTAINER);
  context.mutable_namespace_options()->set_network(options_.host_network ? v1::NODE : v1::POD);
  return config;
}

Result<Made> Pods::Start(const std::string& name) {
  Made made;
  double sum = 0;
  v1::RunPodSandboxRequest run;
  *run.mutable_config() = PodConfig(name);
  made.pod = TRY(Call("RunPodSandbox", &Stub::RunPodSandbox, run, sum)).pod_sandbox_id();
  made.containers.push_back(TRY(CreateAndStart(made.pod, run.config(), "main", sum)));
  samples_.Add("start", sum);
  return made;
}

Result<std::string> Pods::CreateAndStart(const std::string& pod,
                                         const v1::PodSandboxConfig& pod_config,
                                         const std::string& name, double& sum) {
  v1::CreateContainerRequest create;
  create.set_pod_sandbox_id(pod);
  *create.mutable_config() = ContainerConfig(name);
  *create.mutable_sandbox_config() = pod_config;
  std::string id = TRY(Call("CreateContainer", &Stub::CreateContainer, create, sum)).container_id();
  v1::StartContainerRequest start;
  start.set_container_id(id);
  started_at_ = Clock::now();
  TRY(Call("StartContainer", &Stub::StartContainer, start, sum));
  return id;
}

Result<> Pods::Add(const std::string& pod, const std::string& name) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  const auto status = TRY(client_.Do(client_.runtime(), &Stub::PodSandboxStatus, request)).status();
  double sum = 0;
  TRY(CreateAndStart(pod, PodConfig(status.metadata().name()), name, sum));
  return Ok();
}

Result<> Pods::Remove(const Made& made) {
  double killed = 0, gone = 0;
  for (const std::string& container : made.containers) {
    v1::StopContainerRequest kill;
    kill.set_container_id(container);
    kill.set_timeout(0);
    TRY(Call("StopContainer", &Stub::StopContainer, kill, killed));
    v1::RemoveContainerRequest remove_container;
    remove_container.set_container_id(container);
    TRY(Call("RemoveContainer", &Stub::RemoveContainer, remove_container, killed));
  }
  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(made.pod);
  TRY(Call("StopPodSandbox", &Stub::StopPodSandbox, stop, gone));
  v1::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(made.pod);
  TRY(Call("RemovePodSandbox", &Stub::RemovePodSandbox, remove, gone));
  samples_.Add("pod gone", gone);
  return Ok();
}

}  // namespace berth::bench
