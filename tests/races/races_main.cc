// SPDX-License-Identifier: Apache-2.0
// The client of the suites races and soak:
//   berth-races ENDPOINT IMAGE LOGS race SEED SECONDS CLIENTS   the race driver against a real berthd
//   berth-races ENDPOINT IMAGE LOGS pods COUNT                  makes, starts, stops and removes, one after the other
//   berth-races ENDPOINT IMAGE LOGS execs CONTAINER COUNT       `true`, two at a time
//   berth-races ENDPOINT IMAGE LOGS lists COUNT                 that many calls, of the four lists in turn
#include <cstdio>
#include <thread>

#include "base/strings.h"
#include "grpc_target.h"
#include "pod/testing/race_driver.h"

namespace berth {
namespace {

using std::chrono::seconds;
using Patience = pod::RaceTarget::Patience;

Result<> Race(GrpcTarget& target, unsigned seed, int64_t time, int64_t clients) {
  pod::RaceOptions options;
  options.seed = seed;
  options.time = seconds(time);
  options.clients = static_cast<int>(clients);
  options.lose_monitors = false;
  pod::RaceDriver driver(target, options);
  const pod::RaceOutcome outcome = driver.Play();
  std::printf("%llu calls, %llu pods answered, %zu wrong\n",
              static_cast<unsigned long long>(outcome.calls),
              static_cast<unsigned long long>(outcome.pods), outcome.mistakes.size());
  std::string all;
  for (const std::string& line : outcome.mistakes) all += StrCat("\n  ", line);
  if (!all.empty()) return Error(Code::kInternal, StrCat("seed ", seed, ":", all));
  return Ok();
}

Result<> OnePod(GrpcTarget& target, const std::string& name) {
  const std::string pod = TRY(target.Run(name, Patience(0)));
  const std::string container = TRY(target.Create(pod, "main", Patience(0)));
  TRY(target.Start(container, Patience(0)));
  TRY(target.Stop(container, seconds(0), Patience(0)));
  TRY(target.Remove(container, Patience(0)));
  TRY(target.StopPod(pod, Patience(0)));
  return target.RemovePod(pod, Patience(0));
}

Result<> Execs(GrpcTarget& target, const std::string& container, int64_t count) {
  Result<> other;
  std::thread beside([&] {
    for (int64_t i = 1; i < count && other; i += 2) other = target.ExecTrue(container);
  });
  Result<> own;
  for (int64_t i = 0; i < count && own; i += 2) own = target.ExecTrue(container);
  beside.join();
  TRY(std::move(other));
  return own;
}

Result<> Run(int argc, char** argv) {
  if (argc < 6) return Error(Code::kInvalidArgument, "ENDPOINT IMAGE LOGS KIND ... are needed");
  GrpcTarget target(argv[1], argv[2], argv[3]);
  const std::string kind = argv[4];
  auto number = [&](int at) -> Result<int64_t> {
    if (at >= argc) return Error(Code::kInvalidArgument, StrCat(kind, ": too few arguments"));
    return ParseInt(argv[at], 0, 1'000'000'000, "number");
  };
  if (kind == "race")
    return Race(target, static_cast<unsigned>(TRY(number(5))), TRY(number(6)), TRY(number(7)));
  if (kind == "execs") return Execs(target, argv[5], TRY(number(6)));
  const int64_t count = TRY(number(5));
  if (kind == "pods") {
    for (int64_t i = 0; i < count; ++i) TRY(OnePod(target, StrCat("soak-", i)));
    return Ok();
  }
  if (kind != "lists") return Error(Code::kInvalidArgument, StrCat("kind ", kind));
  for (int64_t i = 0; i < count; i += 4) TRY(target.List());
  return Ok();
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  berth::Result<> result = berth::Run(argc, argv);
  if (result) return 0;
  std::fprintf(stderr, "berth-races: %s\n", result.error().message().c_str());
  return 1;
}
