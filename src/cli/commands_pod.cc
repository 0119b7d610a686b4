// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "base/clock.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "os/dir_fd.h"

namespace berth::cli {

using Runtime = v1::RuntimeService::Stub;

namespace {

v1::PodSandboxConfig PodConfig(const RunOptions& options) {
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_name(options.name);
  config.mutable_metadata()->set_namespace_("default");
  // Each run is a pod of its own: without a fresh uid a second one would be taken for a retry of
  // the first.
  config.mutable_metadata()->set_uid(StrCat("berth-", SystemClock().WallNanos()));
  config.set_log_directory(options.log_directory);
  auto* namespaces =
      config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  namespaces->set_pid(v1::CONTAINER);
  if (options.host_network) namespaces->set_network(v1::NODE);
  return config;
}

}  // namespace

Result<> ShowStatus(Client& client, const std::string& state_dir) {
  auto version = TRY(client.Do(client.runtime(), &Runtime::Version, v1::VersionRequest()));
  std::printf("%s %s, CRI %s\n", version.runtime_name().c_str(), version.runtime_version().c_str(),
              version.runtime_api_version().c_str());
  auto status = TRY(client.Do(client.runtime(), &Runtime::Status, v1::StatusRequest()));
  for (const auto& condition : status.status().conditions()) {
    std::printf("%s: %s%s%s\n", condition.type().c_str(), condition.status() ? "yes" : "no",
                condition.message().empty() ? "" : ": ", condition.message().c_str());
  }
  // The admin socket is root's alone; whoever may only speak CRI still has the rest.
  if (Result<> pulls = ListPulls(state_dir, "pulling "); !pulls)
    std::printf("pulls are not known: %s\n", pulls.error().message().c_str());
  return Ok();
}

Result<> RunPod(Client& client, const RunOptions& options) {
  v1::RunPodSandboxRequest run;
  *run.mutable_config() = PodConfig(options);
  std::string pod = TRY(client.Do(client.runtime(), &Runtime::RunPodSandbox, run)).pod_sandbox_id();

  v1::CreateContainerRequest create;
  create.set_pod_sandbox_id(pod);
  *create.mutable_sandbox_config() = run.config();
  auto* container = create.mutable_config();
  container->mutable_metadata()->set_name(options.name);
  container->mutable_image()->set_image(options.image);
  container->set_log_path(options.name + ".log");
  for (const std::string& word : options.command) container->add_command(word);
  auto namespaces = run.config().linux().security_context().namespace_options();
  *container->mutable_linux()->mutable_security_context()->mutable_namespace_options() = namespaces;
  std::string id =
      TRY(client.Do(client.runtime(), &Runtime::CreateContainer, create)).container_id();

  v1::StartContainerRequest start;
  start.set_container_id(id);
  TRY(client.Do(client.runtime(), &Runtime::StartContainer, start));
  v1::PodSandboxStatusRequest status;
  status.set_pod_sandbox_id(pod);
  auto seen = TRY(client.Do(client.runtime(), &Runtime::PodSandboxStatus, status));
  std::printf("pod %s\naddress %s\ncontainer %s\n", pod.c_str(),
              seen.status().network().ip().c_str(), id.c_str());
  return Ok();
}

Result<> ListPods(Client& client) {
  auto pods =
      TRY(client.Do(client.runtime(), &Runtime::ListPodSandbox, v1::ListPodSandboxRequest()));
  auto containers =
      TRY(client.Do(client.runtime(), &Runtime::ListContainers, v1::ListContainersRequest()));
  for (const auto& pod : pods.items()) {
    std::printf("pod %.13s %s/%s %s\n", pod.id().c_str(), pod.metadata().namespace_().c_str(),
                pod.metadata().name().c_str(), v1::PodSandboxState_Name(pod.state()).c_str());
    for (const auto& container : containers.containers()) {
      if (container.pod_sandbox_id() != pod.id()) continue;
      std::printf("  container %.13s %s %s\n", container.id().c_str(),
                  container.metadata().name().c_str(),
                  v1::ContainerState_Name(container.state()).c_str());
    }
  }
  return Ok();
}

Result<> ShowLog(Client& client, const std::string& container) {
  constexpr size_t kLimit = 16U << 20;
  v1::ContainerStatusRequest request;
  request.set_container_id(container);
  auto response = TRY(client.Do(client.runtime(), &Runtime::ContainerStatus, request));
  const std::string& path = response.status().log_path();
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return Error(Code::kNotFound, "the container has no log");
  os::DirFd dir = TRY(os::DirFd::OpenTrusted(path.substr(0, slash)));
  std::string log = TRY(dir.ReadFile(path.substr(slash + 1), kLimit));
  return os::WriteAll(STDOUT_FILENO, log);
}

Result<int> ExecSync(Client& client, const std::string& container,
                     const std::vector<std::string>& command) {
  v1::ExecSyncRequest request;
  request.set_container_id(container);
  for (const std::string& word : command) request.add_cmd(word);
  auto response = TRY(client.Do(client.runtime(), &Runtime::ExecSync, request));
  TRY(os::WriteAll(STDOUT_FILENO, response.stdout()));
  TRY(os::WriteAll(STDERR_FILENO, response.stderr()));
  return response.exit_code();
}

Result<> RemovePods(Client& client, const std::vector<std::string>& pods, bool all) {
  std::vector<std::string> ids = pods;
  if (all) {
    auto listed =
        TRY(client.Do(client.runtime(), &Runtime::ListPodSandbox, v1::ListPodSandboxRequest()));
    for (const auto& pod : listed.items()) ids.push_back(pod.id());
  }
  for (const std::string& id : ids) {
    v1::StopPodSandboxRequest stop;
    stop.set_pod_sandbox_id(id);
    TRY(client.Do(client.runtime(), &Runtime::StopPodSandbox, stop), id);
    v1::RemovePodSandboxRequest remove;
    remove.set_pod_sandbox_id(id);
    TRY(client.Do(client.runtime(), &Runtime::RemovePodSandbox, remove), id);
    std::printf("removed %s\n", id.c_str());
  }
  return Ok();
}

}  // namespace berth::cli
