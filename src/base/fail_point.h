// SPDX-License-Identifier: Apache-2.0
// Named places at which a test can end the process, make a step fail or delay it. In every build, so that what is tested
// is what is shipped; without ArmFailPoints, which main calls when the environment says so, a place costs one load and
// one branch (docs/decisions/0013-fail-points.md). Any thread.
//
//   TRY(FAIL_STEP("pod.intent", records.Put(record)));    the places pod.intent.before and pod.intent.after
//   (void)FAIL_POINT("monitor.exit.recorded");            one place; what it may return is of no use there
//
// A place is armed by a file of its name in the directory that BERTH_FAIL_POINTS names; the process that reaches it
// removes the file first, so each arming counts once, whichever process it is. The file says what happens:
//   kill        SIGKILL to the process itself
//   error       Internal "fail point NAME"
//   errno N     the same with the text and the code of that errno
//   delay MS    a pause
// and "@N" behind it (kill@2): at the Nth time only. Names that are reached are added, one a line with the
// process's id before it, to the file `reached` there.
//
// Not in templates or inline functions: the names are collected by the linker, in a section of their own.
#pragma once

#include <atomic>
#include <string>
#include <type_traits>
#include <vector>

#include "base/result.h"

namespace berth {

inline constexpr const char* kFailPointsVariable = "BERTH_FAIL_POINTS";

// Once, before there is a second thread. `directory` belongs to root and nobody else may write to it
// (FailedPrecondition).
Result<> ArmFailPoints(const std::string& directory);
// ArmFailPoints with what the environment says; nothing when it says nothing.
Result<> ArmFailPointsFromEnvironment();

// Every place in this program, sorted.
std::vector<std::string> FailPointNames();

namespace internal {
extern std::atomic<int> fail_points_dir;  // -1: not armed
Result<> ReachArmedFailPoint(const char* name);

inline Result<> ReachFailPoint(const char* name) {
  if (fail_points_dir.load(std::memory_order_relaxed) < 0) [[likely]]
    return Ok();
  return ReachArmedFailPoint(name);
}

template <class Work>
std::invoke_result_t<Work> AroundStep(const char* before, const char* after, Work&& work) {
  TRY(ReachFailPoint(before));
  std::invoke_result_t<Work> done = work();
  if (done) TRY(ReachFailPoint(after));
  return done;
}
}  // namespace internal

}  // namespace berth

#define BERTH_FAIL_POINT_NAME(variable, name) \
  [[gnu::used, gnu::section("berth_fail_points")]] static const char* const variable = name
#define FAIL_POINT(name)                                 \
  __extension__({                                        \
    BERTH_FAIL_POINT_NAME(berth_fail_point, name);       \
    ::berth::internal::ReachFailPoint(berth_fail_point); \
  })
// Reaches NAME.before, evaluates the Result that follows, and reaches NAME.after when it is a success.
#define FAIL_STEP(name, ...)                                           \
  __extension__({                                                      \
    BERTH_FAIL_POINT_NAME(berth_fail_before, name ".before");          \
    BERTH_FAIL_POINT_NAME(berth_fail_after, name ".after");            \
    ::berth::internal::AroundStep(berth_fail_before, berth_fail_after, \
                                  [&] { return __VA_ARGS__; });        \
  })
