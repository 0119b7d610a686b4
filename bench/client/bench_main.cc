// SPDX-License-Identifier: Apache-2.0
// The client of bench/run: times CRI calls over the socket and prints {"step": [ms, ...]} as JSON.
//   berth-bench ENDPOINT pull IMAGE
//   berth-bench ENDPOINT serial IMAGE CGROUP LOGS pod|host NAME COUNT   starts and removes, in turn
//   berth-bench ENDPOINT start IMAGE CGROUP LOGS pod|host NAME COUNT PARALLEL    "wall": all of them
//   berth-bench ENDPOINT remove COUNT PARALLEL      removes that many of the pods that there are
//   berth-bench ENDPOINT more IMAGE CGROUP LOGS pod|host NAME COUNT PARALLEL   more containers in the pods there are
//   berth-bench ENDPOINT exec COUNT                 `true` in one of the containers
//   berth-bench ENDPOINT lists COUNT STATS          the lists of containers and pods; those of statistics
//   berth-bench ENDPOINT status COUNT               PodSandboxStatus and ContainerStatus of one
//   berth-bench ENDPOINT poll SECONDS               what a kubelet asks, as often as it does
//   berth-bench ENDPOINT log IMAGE CGROUP LOGS pod|host NAME MEGABYTES   from StartContainer to the log's last line
//   berth-bench ENDPOINT first-answer PODS          waits for the socket and for a list of that many
//                                                   ready pods; prints CLOCK_MONOTONIC nanoseconds
// The steady_clock of libstdc++ is CLOCK_MONOTONIC.
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/strings.h"
#include "commands.h"
#include "os/fd.h"

namespace berth::bench {

namespace v1 = ::runtime::v1;
using Stub = v1::RuntimeService::Stub;

Result<int> Count(const Arguments& arguments, size_t index) {
  if (index >= arguments.size()) return Error(Code::kInvalidArgument, "too few arguments");
  return static_cast<int>(TRY(ParseInt(arguments[index], 1, 1'000'000, "count")));
}

Result<PodOptions> Options(const Arguments& arguments) {
  if (arguments.size() < 6) return Error(Code::kInvalidArgument, "too few arguments");
  if (arguments[3] != "pod" && arguments[3] != "host")
    return Error(Code::kInvalidArgument, StrCat("network ", arguments[3]));
  return PodOptions{.image = arguments[0],
                    .cgroup_parent = arguments[1],
                    .log_directory = arguments[2],
                    .host_network = arguments[3] == "host",
                    .command = {"/bin/sleep", "100000"}};
}

namespace {

// work(0) .. work(count - 1) by `parallel` threads; the first error ends it.
Result<> InParallel(int count, int parallel, const std::function<Result<>(int)>& work) {
  std::atomic<int> next = 0;
  std::vector<Result<>> results(static_cast<size_t>(parallel));
  std::vector<std::thread> threads;
  for (Result<>& result : results) {
    threads.emplace_back([&next, &result, &work, count] {
      for (int i = next++; i < count && result; i = next++) result = work(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Result<>& result : results) TRY(std::move(result));
  return Ok();
}

Result<> Pull(cli::Client& client, const Arguments& arguments, Samples& samples) {
  if (arguments.empty()) return Error(Code::kInvalidArgument, "an image is needed");
  v1::PullImageRequest request;
  request.mutable_image()->set_image(arguments[0]);
  const Clock::time_point began = Clock::now();
  TRY(client.Do(client.images(), &v1::ImageService::Stub::PullImage, request));
  samples.Add("PullImage", MillisecondsSince(began));
  return Ok();
}

Result<> Serial(cli::Client& client, const Arguments& arguments, Samples& samples) {
  Pods pods(client, TRY(Options(arguments)), samples);
  const int count = TRY(Count(arguments, 5));
  for (int i = 0; i < count; ++i) TRY(pods.Remove(TRY(pods.Start(StrCat(arguments[4], i)))));
  return Ok();
}

Result<> Start(cli::Client& client, const Arguments& arguments, Samples& samples) {
  Pods pods(client, TRY(Options(arguments)), samples);
  const int count = TRY(Count(arguments, 5));
  const int parallel = TRY(Count(arguments, 6));
  const Clock::time_point began = Clock::now();
  TRY(InParallel(count, parallel, [&](int i) -> Result<> {
    TRY(pods.Start(StrCat(arguments[4], i)));
    return Ok();
  }));
  samples.Add("wall", MillisecondsSince(began));
  return Ok();
}

Result<> More(cli::Client& client, const Arguments& arguments, Samples& samples) {
  Pods pods(client, TRY(Options(arguments)), samples);
  const int count = TRY(Count(arguments, 5));
  v1::ListPodSandboxRequest request;
  request.mutable_filter()->mutable_state()->set_state(v1::SANDBOX_READY);
  const auto there = TRY(client.Do(client.runtime(), &Stub::ListPodSandbox, request));
  if (there.items_size() == 0) return Error(Code::kNotFound, "no pod is ready");
  return InParallel(count, TRY(Count(arguments, 6)), [&](int i) -> Result<> {
    TRY(pods.Add(there.items(i % there.items_size()).id(), StrCat(arguments[4], i)));
    return Ok();
  });
}

Result<> Remove(cli::Client& client, const Arguments& arguments, Samples& samples) {
  const int count = TRY(Count(arguments, 0));
  const int parallel = TRY(Count(arguments, 1));
  const v1::ListContainersResponse there = TRY(Running(client));
  std::map<std::string, std::vector<std::string>> by_pod;
  for (const v1::Container& container : there.containers())
    by_pod[container.pod_sandbox_id()].push_back(container.id());
  if (by_pod.size() < static_cast<size_t>(count))
    return Error(Code::kNotFound, StrCat("containers run in only ", by_pod.size(), " pods"));
  std::vector<Made> made;
  for (const auto& [pod, containers] : by_pod) made.push_back({pod, containers});
  Pods pods(client, {}, samples);
  const Clock::time_point began = Clock::now();
  TRY(InParallel(count, parallel,
                 [&](int i) { return pods.Remove(made[static_cast<size_t>(i)]); }));
  samples.Add("wall", MillisecondsSince(began));
  return Ok();
}

// gRPC would wait between its attempts to connect.
Result<> WaitForSocket(const std::string& endpoint) {
  const std::string path = endpoint.substr(std::string_view("unix://").size());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error(Code::kInvalidArgument, "long path");
  std::memcpy(address.sun_path, path.data(), path.size());
  for (const Clock::time_point began = Clock::now(); MillisecondsSince(began) < 60'000;) {
    os::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
      return Ok();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return Error(Code::kDeadlineExceeded, StrCat("nobody listens on ", endpoint));
}

Result<> FirstAnswer(cli::Client& client, const std::string& endpoint, const Arguments& arguments) {
  const int expected = TRY(Count(arguments, 0));
  v1::ListPodSandboxRequest request;
  request.mutable_filter()->mutable_state()->set_state(v1::SANDBOX_READY);
  const Clock::time_point began = Clock::now();
  Error last(Code::kUnavailable, "no answer");
  while (MillisecondsSince(began) < 60'000) {
    TRY(WaitForSocket(endpoint));
    auto answer = client.Do(client.runtime(), &Stub::ListPodSandbox, request);
    if (answer && answer->items_size() == expected) {
      std::printf("%lld\n", static_cast<long long>(Clock::now().time_since_epoch().count()));
      return Ok();
    }
    last = answer ? Error(Code::kInternal, StrCat(answer->items_size(), " pods are ready"))
                  : std::move(answer.error());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return last;
}

Result<> Run(int argc, char** argv) {
  if (argc < 3) return Error(Code::kInvalidArgument, "ENDPOINT COMMAND ARGUMENTS are needed");
  const std::string endpoint = argv[1], command = argv[2];
  if (!endpoint.starts_with("unix:///"))
    return Error(Code::kInvalidArgument, StrCat("endpoint ", endpoint, " is not unix:///PATH"));
  const Arguments arguments(argv + 3, argv + argc);
  cli::Client client(endpoint);
  if (command == "first-answer") return FirstAnswer(client, endpoint, arguments);
  TRY(WaitForSocket(endpoint));
  Samples samples;
  if (command == "pull") {
    TRY(Pull(client, arguments, samples));
  } else if (command == "serial") {
    TRY(Serial(client, arguments, samples));
  } else if (command == "start") {
    TRY(Start(client, arguments, samples));
  } else if (command == "remove") {
    TRY(Remove(client, arguments, samples));
  } else if (command == "more") {
    TRY(More(client, arguments, samples));
  } else if (command == "exec") {
    TRY(Exec(client, arguments, samples));
  } else if (command == "lists") {
    TRY(Lists(client, arguments, samples));
  } else if (command == "status") {
    TRY(Statuses(client, arguments, samples));
  } else if (command == "poll") {
    TRY(Poll(client, arguments, samples));
  } else if (command == "log") {
    TRY(Log(client, arguments, samples));
  } else {
    return Error(Code::kInvalidArgument, StrCat("command ", command));
  }
  std::puts(samples.Json().c_str());
  return Ok();
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) {
  berth::Result<> result = berth::bench::Run(argc, argv);
  if (result) return 0;
  std::fprintf(stderr, "berth-bench: %s\n", result.error().message().c_str());
  return 1;
}
