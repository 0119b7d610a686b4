// SPDX-License-Identifier: Apache-2.0
#include "pod/workers.h"

#include <system_error>
#include <utility>

#include "base/strings.h"

namespace berth::pod {

Result<> Workers::Start(std::function<void()> work) {
  auto worker = std::make_unique<Worker>();
  Worker* self = worker.get();
  auto workers = workers_.Lock();
  // Threads that have ended are joined here, so that their number follows the work in progress.
  std::erase_if(*workers, [](const std::unique_ptr<Worker>& old) {
    if (!old->done) return false;
    old->thread.join();
    return true;
  });
  try {
    worker->thread = std::thread([self, work = std::move(work)] {
      work();
      self->done = true;
    });
  } catch (const std::system_error& e) {
    return Error(Code::kResourceExhausted, StrCat("start a thread: ", e.what()));
  }
  workers->push_back(std::move(worker));
  return Ok();
}

void Workers::Join() {
  std::list<std::unique_ptr<Worker>> all;
  all.swap(*workers_.Lock());
  for (auto& worker : all) worker->thread.join();
}

void RunBoth(const std::function<void()>& here, const std::function<void()>& beside) {
  std::thread thread;
  try {
    thread = std::thread(beside);
  } catch (const std::system_error&) {
    // No thread to be had: one after the other does the same, only slower.
    here();
    beside();
    return;
  }
  here();
  thread.join();
}

}  // namespace berth::pod
