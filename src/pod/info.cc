// SPDX-License-Identifier: Apache-2.0
// What `crictl inspect` and `inspectp` show below "info".
#include <nlohmann/json.hpp>

#include "pod/engine_impl.h"
#include "pod/record_codec.h"

namespace berth::pod {

namespace {

using Json = nlohmann::json;

// Our own text or a plugin's: what is no JSON is shown as null, not made the whole answer's
// failure.
Json Parsed(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json() : json;
}

// Of the calls that this daemon has made; none of those from before its start.
void AddTrace(Json& json, const char* call, const Trace& trace) {
  const std::optional<uint32_t> took = trace.took_us();
  if (!took) return;
  Json steps = Json::array();
  for (const Trace::Step& step : trace.Steps()) {
    Json one = {
        {"step", step.name.data()}, {"atMicros", step.began_us}, {"tookMicros", step.took_us}};
    if (step.cpu_us > 0) one["cpuMicros"] = step.cpu_us;
    steps.push_back(std::move(one));
  }
  json["trace"][call] = {{"tookMicros", *took}, {"steps", std::move(steps)}};
}

StringMap Answer(const Json& json) {
  return {{"info", json.dump(-1, ' ', false, Json::error_handler_t::replace)}};
}

}  // namespace

Result<StringMap> Engine::Impl::PodSandboxInfo(const std::string& id) {
  SandboxPtr sandbox = TRY(NeedSandbox(id));
  SandboxRecord record = sandbox->state.Lock()->record;
  Json json;
  json["pid"] = record.handle ? record.handle->monitor_pid : 0;
  json["processStatus"] = record.phase == SandboxPhase::kReady ? "running" : "stopped";
  json["netNamespaceClosed"] = !UsesHostNetwork(record.config) && !d.network.NsExists(record.id);
  json["runtimeHandler"] = record.handler;
  json["cgroupPath"] = record.cgroup_path;
  json["stopped"] = record.stopped;
  if (record.overhead) json["overhead"] = Parsed(Encode(*record.overhead));
  if (record.resources) json["resources"] = Parsed(Encode(*record.resources));
  json["config"] = Parsed(Encode(record.config));
  Result<runtime::NetworkStatus> network = d.network.Cached(record.id);
  AddTrace(json, "RunPodSandbox", sandbox->run_trace);
  json["cniResult"] = network ? Parsed(network->result_json) : Json();
  return Answer(json);
}

Result<StringMap> Engine::Impl::ContainerInfo(const std::string& id) {
  ContainerPtr container = TRY(NeedContainer(id));
  ContainerRecord record;
  bool removing = false;
  {
    auto state = container->state.Lock();
    record = state->record;
    removing = state->op == ContainerObject::Op::kRemoving;
  }
  Json json;
  json["sandboxID"] = record.sandbox_id;
  json["pid"] = StatusOf(record).pid;
  json["removing"] = removing;
  json["cgroupsPath"] = record.cgroups_path;
  json["config"] = Parsed(Encode(record.config));
  json["runtimeSpec"] = Parsed(record.spec_json);
  AddTrace(json, "CreateContainer", container->create_trace);
  AddTrace(json, "StartContainer", container->start_trace);
  return Answer(json);
}

}  // namespace berth::pod
