// SPDX-License-Identifier: Apache-2.0
// `berth trace`: what each step of a pod's and its containers' start took, from the verbose status.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"

namespace berth::cli {

using Runtime = v1::RuntimeService::Stub;
using Json = nlohmann::json;

namespace {

double Milliseconds(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_number() ? at->get<double>() / 1000 : 0;
}

void PrintCall(const std::string& call, const Json& trace) {
  std::printf("  %s: %.2f ms\n", call.c_str(), Milliseconds(trace, "tookMicros"));
  std::printf("    %8s %8s %8s  step\n", "at", "took", "cpu");
  for (const Json& step : trace.value("steps", Json::array())) {
    std::printf("    %8.2f %8.2f ", Milliseconds(step, "atMicros"),
                Milliseconds(step, "tookMicros"));
    if (step.contains("cpuMicros"))
      std::printf("%8.2f", Milliseconds(step, "cpuMicros"));
    else
      std::printf("%8s", "");
    std::printf("  %s\n", step.value("step", std::string("?")).c_str());
  }
}

template <class Response>
Result<> Print(const char* what, const std::string& id, const Response& response,
               std::initializer_list<const char*> calls) {
  const auto info = response.info().find("info");
  const Json json =
      info == response.info().end() ? Json() : Json::parse(info->second, nullptr, false);
  if (!json.is_object()) return Error(Code::kInternal, "the daemon's verbose status is no JSON");
  std::printf("%s %s\n", what, id.c_str());
  const auto trace = json.find("trace");
  if (trace == json.end()) {
    std::printf("  no trace: it was started before berthd was\n");
    return Ok();
  }
  for (const char* call : calls)
    if (trace->contains(call)) PrintCall(call, (*trace)[call]);
  return Ok();
}

Result<> PrintContainer(Client& client, const std::string& id) {
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  auto response = TRY(client.Do(client.runtime(), &Runtime::ContainerStatus, request));
  return Print("container", response.status().id(), response,
               {"CreateContainer", "StartContainer"});
}

}  // namespace

Result<> ShowTrace(Client& client, const std::string& id) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  request.set_verbose(true);
  auto pod = client.Do(client.runtime(), &Runtime::PodSandboxStatus, request);
  if (!pod && pod.error().code() == Code::kNotFound) return PrintContainer(client, id);
  if (!pod) return std::move(pod.error());
  TRY(Print("pod", pod->status().id(), *pod, {"RunPodSandbox"}));
  v1::ListContainersRequest containers;
  containers.mutable_filter()->set_pod_sandbox_id(pod->status().id());
  const auto list = TRY(client.Do(client.runtime(), &Runtime::ListContainers, containers));
  for (const auto& container : list.containers()) TRY(PrintContainer(client, container.id()));
  return Ok();
}

}  // namespace berth::cli
