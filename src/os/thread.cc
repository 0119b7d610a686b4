// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include "os/thread_internal.h"

namespace berth::os::internal {

namespace {

struct Job {
  const std::function<Result<>()>* work;
  Result<>* result;
};

void* Start(void* argument) {
  auto* job = static_cast<Job*>(argument);
  // Made in place: tl::expected cannot be assigned to without exceptions.
  job->result->~Result<>();
  new (job->result) Result<>((*job->work)());
  return nullptr;
}

}  // namespace

Result<> RunOnThread(const std::function<Result<>()>& work) {
  Result<> result;
  Job job{&work, &result};
  pthread_t thread;
  // Not std::thread: it reports failure by an exception, which the monitor is built without.
  const int rc = ::pthread_create(&thread, nullptr, Start, &job);
  if (rc != 0) return ErrnoError("start thread", rc);
  ::pthread_join(thread, nullptr);
  return result;
}

}  // namespace berth::os::internal
