// SPDX-License-Identifier: Apache-2.0
#include "api/sessions/node_view.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "os/socket.h"

namespace berth::sessions {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kContainers = "/containers/";
constexpr const char* kContainerName = "io.kubernetes.container.name";
constexpr const char* kRestartCount = "io.kubernetes.container.restartCount";

// The kubelet's own, whose size it bounds; a pod's other labels are of any size and are not looked at.
Json KubernetesLabels(const pod::StringMap& labels) {
  Json out = Json::object();
  for (const auto& [name, value] : labels) {
    if (name.starts_with("io.kubernetes.")) out[name] = value;
  }
  return out;
}

// A process in the pod's network namespace: any of its containers'.
int ProcessOf(pod::Engine& engine, const std::string& sandbox_id) {
  pod::ContainerFilter filter;
  filter.sandbox_id = sandbox_id;
  filter.state = pod::ContainerState::kRunning;
  for (const pod::ContainerStatus& listed : engine.ListContainers(filter)) {
    Result<pod::ContainerStatus> status = engine.GetContainerStatus(listed.id);
    if (status && status->pid > 0) return status->pid;
  }
  return 0;
}

Result<Json> PodView(pod::Engine& engine, const NodeViewOptions& options, const std::string& id) {
  const pod::SandboxStatus pod = TRY(engine.PodSandboxStatus(id));
  Json labels = KubernetesLabels(pod.labels);
  labels[kContainerName] = "POD";
  return Json{{"name", pod.id},
              {"pid", ProcessOf(engine, pod.id)},
              {"image", ""},
              {"created_time", pod.created_at},
              {"labels", std::move(labels)},
              {"annotations", Json::object()},
              {"log_path", ""},
              {"root", options.root + "/pod"},
              {"ip_address", pod.ip},
              {"ip_addresses", pod.ip.empty() ? Json::array() : Json::array({pod.ip})}};
}

Json ContainerView(const NodeViewOptions& options, const pod::ContainerStatus& container) {
  Json annotations = Json::object();
  if (auto count = container.annotations.find(kRestartCount); count != container.annotations.end())
    annotations[kRestartCount] = count->second;
  return Json{{"name", container.id},
              {"pid", container.pid},
              {"image", container.image.image},
              {"created_time", container.created_at},
              {"labels", KubernetesLabels(container.labels)},
              {"annotations", std::move(annotations)},
              {"log_path", container.log_path},
              {"root", StrCat(options.root, "/containers/", container.id)},
              {"ip_address", ""},
              {"ip_addresses", Json::array()}};
}

constexpr std::chrono::milliseconds kLookEvery{25};

Result<Json> ViewOf(pod::Engine& engine, const NodeViewOptions& options, const std::string& id) {
  Result<pod::ContainerStatus> container = engine.GetContainerStatus(id);
  if (container) return ContainerView(options, *container);
  if (container.error().code() != Code::kNotFound) return std::move(container.error());
  return PodView(engine, options, id);
}

std::string Text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool IsWholeId(std::string_view id) {
  return id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

Result<std::string> NodeView(pod::Engine& engine, const NodeViewOptions& options,
                             std::string_view path) {
  if (path == "/info") {
    return Text(Json{{"storage_driver", "overlay"},
                     {"storage_root", options.root},
                     {"storage_image", options.root}});
  }
  if (!path.starts_with(kContainers) || !IsWholeId(path.substr(kContainers.size())))
    return Error(Code::kNotFound, StrCat("nothing is at ", Quote(path)));
  const std::string id(path.substr(kContainers.size()));
  const auto end = std::chrono::steady_clock::now() + options.patience;
  while (engine.IsBeingMade(id) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(kLookEvery);
  return Text(TRY(ViewOf(engine, options, id)));
}

Result<os::Fd> ListenForCadvisor(const std::string& socket_path) {
  const size_t slash = socket_path.rfind('/');
  const std::string name = socket_path.substr(slash + 1);
  const os::DirFd directory =
      TRY(os::DirFd::MakeTrusted(socket_path.substr(0, slash), 0711), "socket for cAdvisor");
  if (os::ConnectUnix(directory, name, os::SocketType::kStream)) {
    return Error(Code::kFailedPrecondition,
                 StrCat("socket for cAdvisor: somebody listens on ", socket_path));
  }
  os::Fd listener =
      TRY(os::ListenUnix(directory, name, os::SocketType::kStream, 64), "socket for cAdvisor");
  TRY(os::SetNonBlocking(listener.get(), true), "socket for cAdvisor");
  return listener;
}

}  // namespace berth::sessions
