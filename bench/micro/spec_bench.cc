// SPDX-License-Identifier: Apache-2.0
// What a container's config.json costs before the OCI runtime sees it: the default filter's rules, the spec built from a
// plan, its JSON, and the filter compiled to the program that crun is given once.   build/bin/spec_bench
#include <benchmark/benchmark.h>

#include "oci/build_spec.h"
#include "oci/seccomp.h"
#include "oci/spec_json.h"
#include "oci/testing/sample_plans.h"
#include "runtime/seccomp_programs.h"

namespace berth {
namespace {

void BuildSpec(benchmark::State& state) {
  const oci::ContainerPlan plan = oci::testing::OrdinaryPlan();
  for (auto _ : state) benchmark::DoNotOptimize(oci::BuildSpec(plan));
}
BENCHMARK(BuildSpec)->Unit(benchmark::kMicrosecond);

void SpecToJson(benchmark::State& state) {
  const oci::Spec spec = *oci::BuildSpec(oci::testing::OrdinaryPlan());
  size_t bytes = 0;
  for (auto _ : state) bytes = oci::ToJson(spec)->size();
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(SpecToJson)->Unit(benchmark::kMicrosecond);

void CompileFilter(benchmark::State& state) {
  const oci::Spec spec = *oci::BuildSpec(oci::testing::OrdinaryPlan());
  size_t bytes = 0;
  for (auto _ : state) bytes = runtime::CompileSeccomp(*spec.linux.seccomp)->size();
  state.counters["instructions"] = static_cast<double>(bytes) / 8;
}
BENCHMARK(CompileFilter)->Unit(benchmark::kMicrosecond);

void KeptFilter(benchmark::State& state) {
  const oci::Spec spec = *oci::BuildSpec(oci::testing::OrdinaryPlan());
  runtime::SeccompPrograms programs;
  for (auto _ : state) benchmark::DoNotOptimize(programs.Get(*spec.linux.seccomp));
}
BENCHMARK(KeptFilter)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace berth

BENCHMARK_MAIN();
