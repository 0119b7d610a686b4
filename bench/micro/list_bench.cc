// SPDX-License-Identifier: Apache-2.0
// ListContainers as a kubelet asks for it each second, from the engine's table to the bytes for gRPC: made anew each
// time, on the heap and on protobuf's arena, and put together from kept items.   build/bin/list_bench
#include <benchmark/benchmark.h>
#include <google/protobuf/arena.h>

#include "api/cri/convert.h"
#include "api/cri/handlers.h"
#include "pod/testing/engine_world.h"

namespace berth::api {
namespace {

// A node with one container in each pod, labelled as a kubelet labels them.
class Loaded {
 public:
  explicit Loaded(int64_t containers) {
    for (int64_t i = 0; i < containers; ++i) {
      std::string name = StrCat("pod-", i);
      std::string pod = world_.Run(name).value_or("");
      pod::ContainerConfig config = pod::MinimalContainerConfig("app");
      config.labels = {{"io.kubernetes.container.name", "app"},
                       {"io.kubernetes.pod.name", name},
                       {"io.kubernetes.pod.namespace", "default"},
                       {"io.kubernetes.pod.uid", "0f3a6b4e-8a1f-4a6e-9a94-5d6f3c2b1a00"}};
      config.annotations = {
          {"io.kubernetes.container.hash", "7c6d6f5b"},
          {"io.kubernetes.container.restartCount", "0"},
          {"io.kubernetes.container.terminationMessagePath", "/dev/termination-log"},
          {"io.kubernetes.container.terminationMessagePolicy", "File"},
          {"io.kubernetes.pod.terminationGracePeriod", "30"}};
      for (int m = 0; m < 4; ++m) {
        pod::MountConfig mount;
        mount.host_path = StrCat("/var/lib/kubelet/pods/0f3a6b4e/volumes/", m);
        mount.container_path = StrCat("/volumes/", m);
        config.mounts.push_back(mount);
      }
      auto created = world_.engine->CreateContainer({}, pod, config);
      if (created) (void)world_.engine->StartContainer({}, *created);
    }
  }
  pod::Engine& engine() { return *world_.engine; }

 private:
  pod::World world_;
};

Loaded& Node(int64_t containers) {
  static std::map<int64_t, std::unique_ptr<Loaded>> nodes;
  auto& node = nodes[containers];
  if (!node) node = std::make_unique<Loaded>(containers);
  return *node;
}

void Finish(benchmark::State& state, size_t bytes) {
  state.counters["bytes"] = static_cast<double>(bytes);
  state.counters["per_container"] = benchmark::Counter(
      static_cast<double>(state.range(0)),
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void MadeAnew(benchmark::State& state) {
  pod::Engine& engine = Node(state.range(0)).engine();
  size_t bytes = 0;
  for (auto _ : state) {
    v1::ListContainersResponse response;
    for (const auto& status : engine.ListContainers({})) ToProto(status, response.add_containers());
    bytes = response.SerializeAsString().size();
  }
  Finish(state, bytes);
}

void MadeAnewOnAnArena(benchmark::State& state) {
  pod::Engine& engine = Node(state.range(0)).engine();
  size_t bytes = 0;
  for (auto _ : state) {
    google::protobuf::Arena arena;
    auto* response = google::protobuf::Arena::CreateMessage<v1::ListContainersResponse>(&arena);
    for (const auto& status : engine.ListContainers({}))
      ToProto(status, response->add_containers());
    bytes = response->SerializeAsString().size();
  }
  Finish(state, bytes);
}

void FromKeptItems(benchmark::State& state) {
  pod::Engine& engine = Node(state.range(0)).engine();
  size_t bytes = 0;
  for (auto _ : state) {
    bytes = engine.EncodedContainers({}, &AppendListItem).size();
  }
  Finish(state, bytes);
}

void FromKeptItemsByLabel(benchmark::State& state) {
  pod::Engine& engine = Node(state.range(0)).engine();
  pod::ContainerFilter filter;
  filter.labels = {{"io.kubernetes.pod.name", "pod-7"}};
  size_t bytes = 0;
  for (auto _ : state) {
    bytes = engine.EncodedContainers(filter, &AppendListItem).size();
  }
  Finish(state, bytes);
}

BENCHMARK(MadeAnew)->Arg(50)->Arg(500)->Arg(1000)->Unit(benchmark::kMicrosecond);
BENCHMARK(MadeAnewOnAnArena)->Arg(50)->Arg(500)->Arg(1000)->Unit(benchmark::kMicrosecond);
BENCHMARK(FromKeptItems)->Arg(50)->Arg(500)->Arg(1000)->Unit(benchmark::kMicrosecond);
BENCHMARK(FromKeptItemsByLabel)->Arg(50)->Arg(500)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace berth::api

BENCHMARK_MAIN();
