// SPDX-License-Identifier: Apache-2.0
// Pods with one sleeping container each, made and removed as the kubelet does, every call timed.
// Owned by a command of berth-bench; calls from any thread (a gRPC stub is safe for that).
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/client.h"
#include "samples.h"

namespace berth::bench {

struct PodOptions {
  std::string image;
  std::string cgroup_parent;  // of each pod: <cgroup_parent>/<name>
  std::string log_directory;
  bool host_network = false;
  std::vector<std::string> command;
};

struct Made {
  std::string pod;
  std::vector<std::string> containers;
};

class Pods {
 public:
  Pods(cli::Client& client, PodOptions options, Samples& samples)
      : client_(client), options_(std::move(options)), samples_(samples) {}

  // RunPodSandbox, CreateContainer, StartContainer; "start" is their sum.
  Result<Made> Start(const std::string& name);
  // One more container in a pod, on the pod's network.
  Result<> Add(const std::string& pod, const std::string& name);
  // Before the last StartContainer.
  Clock::time_point started_at() const { return started_at_; }
  // StopContainer (killed at once), RemoveContainer, StopPodSandbox, RemovePodSandbox;
  // "pod gone" is the sum of the last two.
  Result<> Remove(const Made& made);

 private:
  runtime::v1::PodSandboxConfig PodConfig(const std::string& name) const;
  runtime::v1::ContainerConfig ContainerConfig(const std::string& name) const;
  Result<std::string> CreateAndStart(const std::string& pod,
                                     const runtime::v1::PodSandboxConfig& pod_config,
                                     const std::string& name, double& sum);
  // One timed call; its time is added to `sum`.
  template <class Request, class Response>
  Result<Response> Call(const char* step,
                        grpc::Status (runtime::v1::RuntimeService::Stub::*method)(
                            grpc::ClientContext*, const Request&, Response*),
                        const Request& request, double& sum);

  cli::Client& client_;
  const PodOptions options_;
  Samples& samples_;
  std::atomic<Clock::time_point> started_at_{};
};

}  // namespace berth::bench
