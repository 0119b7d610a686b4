// SPDX-License-Identifier: Apache-2.0
// Exec, lists, status, and what a kubelet asks a quiet node.
#include <functional>
#include <thread>

#include "base/strings.h"
#include "commands.h"

namespace berth::bench {

namespace v1 = ::runtime::v1;
using Stub = v1::RuntimeService::Stub;
using ImageStub = v1::ImageService::Stub;

namespace {

template <class Service, class Request, class Response>
Result<> Repeat(cli::Client& client, Service& service, const char* step,
                grpc::Status (Service::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request, int count, Samples& samples) {
  for (int i = 0; i < count; ++i) {
    const Clock::time_point began = Clock::now();
    TRY(client.Do(service, method, request), step);
    samples.Add(step, MillisecondsSince(began));
  }
  return Ok();
}

// One thing that a kubelet does again and again.
struct Habit {
  int every_s;
  std::function<Result<>()> ask;
};

Result<> RotateLogs(cli::Client& client) {
  const v1::ListContainersResponse there = TRY(Running(client));
  for (const v1::Container& container : there.containers()) {
    v1::ContainerStatusRequest request;
    request.set_container_id(container.id());
    TRY(client.Do(client.runtime(), &Stub::ContainerStatus, request));
  }
  return Ok();
}

Result<> Relist(cli::Client& client, bool running_only) {
  v1::ListPodSandboxRequest pods;
  v1::ListContainersRequest containers;
  if (running_only) {
    pods.mutable_filter()->mutable_state()->set_state(v1::SANDBOX_READY);
    containers.mutable_filter()->mutable_state()->set_state(v1::CONTAINER_RUNNING);
  }
  TRY(client.Do(client.runtime(), &Stub::ListPodSandbox, pods));
  TRY(client.Do(client.runtime(), &Stub::ListContainers, containers));
  return Ok();
}

// The kubelet's defaults (pkg/kubelet: relist 1 s, housekeeping 2 s, runtime state 5 s, node status, eviction and log
// rotation 10 s, image list 30 s). Probes are the pods' affair and not among them.
std::vector<Habit> Habits(cli::Client& client) {
  auto& runtime = client.runtime();
  auto& images = client.images();
  auto ask = [&client](auto& service, auto method, auto request) {
    return [&client, &service, method, request]() -> Result<> {
      TRY(client.Do(service, method, request));
      return Ok();
    };
  };
  return {{1, [&client] { return Relist(client, false); }},
          {2, [&client] { return Relist(client, true); }},
          {5, ask(runtime, &Stub::Status, v1::StatusRequest())},
          {10, ask(runtime, &Stub::Version, v1::VersionRequest())},
          {10, [&client] { return Relist(client, false); }},
          {10, ask(runtime, &Stub::ListContainerStats, v1::ListContainerStatsRequest())},
          {10, ask(images, &ImageStub::ImageFsInfo, v1::ImageFsInfoRequest())},
          {10, [&client] { return RotateLogs(client); }},
          {30, ask(images, &ImageStub::ListImages, v1::ListImagesRequest())}};
}

}  // namespace

Result<v1::ListContainersResponse> Running(cli::Client& client) {
  v1::ListContainersRequest request;
  request.mutable_filter()->mutable_state()->set_state(v1::CONTAINER_RUNNING);
  return client.Do(client.runtime(), &Stub::ListContainers, request);
}

Result<> Exec(cli::Client& client, const Arguments& arguments, Samples& samples) {
  const int count = TRY(Count(arguments, 0));
  const v1::ListContainersResponse there = TRY(Running(client));
  if (there.containers_size() == 0) return Error(Code::kNotFound, "no container runs");
  v1::ExecSyncRequest request;
  request.set_container_id(there.containers(0).id());
  request.add_cmd("true");
  request.set_timeout(30);
  for (int i = 0; i < count; ++i) {
    const Clock::time_point began = Clock::now();
    const auto response = TRY(client.Do(client.runtime(), &Stub::ExecSync, request));
    samples.Add("ExecSync", MillisecondsSince(began));
    if (response.exit_code() != 0)
      return Error(Code::kInternal, StrCat("`true` ended with ", response.exit_code()));
  }
  return Ok();
}

Result<> Lists(cli::Client& client, const Arguments& arguments, Samples& samples) {
  const int count = TRY(Count(arguments, 0));
  const int stats = TRY(Count(arguments, 1));
  Stub& runtime = client.runtime();
  TRY(Repeat(client, runtime, "ListContainers", &Stub::ListContainers, {}, count, samples));
  TRY(Repeat(client, runtime, "ListPodSandbox", &Stub::ListPodSandbox, {}, count, samples));
  TRY(Repeat(client, runtime, "ListContainerStats", &Stub::ListContainerStats, {}, stats, samples));
  return Repeat(client, runtime, "ListPodSandboxStats", &Stub::ListPodSandboxStats, {}, stats,
                samples);
}

Result<> Statuses(cli::Client& client, const Arguments& arguments, Samples& samples) {
  const int count = TRY(Count(arguments, 0));
  const v1::ListContainersResponse there = TRY(Running(client));
  if (there.containers_size() == 0) return Error(Code::kNotFound, "no container runs");
  v1::PodSandboxStatusRequest pod;
  pod.set_pod_sandbox_id(there.containers(0).pod_sandbox_id());
  TRY(Repeat(client, client.runtime(), "PodSandboxStatus", &Stub::PodSandboxStatus, pod, count,
             samples));
  v1::ContainerStatusRequest container;
  container.set_container_id(there.containers(0).id());
  return Repeat(client, client.runtime(), "ContainerStatus", &Stub::ContainerStatus, container,
                count, samples);
}

Result<> Poll(cli::Client& client, const Arguments& arguments, Samples& samples) {
  const int seconds = TRY(Count(arguments, 0));
  const std::vector<Habit> habits = Habits(client);
  const Clock::time_point began = Clock::now();
  for (int second = 0; second < seconds; ++second) {
    const Clock::time_point round = Clock::now();
    for (const Habit& habit : habits)
      if (second % habit.every_s == 0) TRY(habit.ask(), StrCat("second ", second));
    samples.Add("second", MillisecondsSince(round));
    std::this_thread::sleep_until(began + std::chrono::seconds(second + 1));
  }
  return Ok();
}

}  // namespace berth::bench
