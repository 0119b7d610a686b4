// SPDX-License-Identifier: Apache-2.0
// Children of the monitor: OCI runtime calls and helpers.
#include <unistd.h>

#include "base/strings.h"
#include "monitor/monitor.h"

namespace berth::monitor {

namespace {
constexpr int64_t kHelperMs = 30'000;
}

Result<Container*> Monitor::Find(const std::string& id) {
  for (auto& container : containers_)
    if (container->id() == id) return container.get();
  return Error(Code::kNotFound, StrCat("container ", id, ": not found"));
}

Monitor::Session* Monitor::FindExec(const std::string& id) {
  for (auto& session : sessions_)
    if (session->id == id && !session->ended) return session.get();
  return nullptr;
}

std::string Monitor::NextNumber() { return StrCat(next_number_++); }

CallSpec Monitor::RuntimeCall(const std::string& command, const std::string& number,
                              uint32_t timeout_ms) {
  CallSpec spec;
  const std::string& path = setup_->runtime_path;
  const std::string program = path.substr(path.rfind('/') + 1);
  spec.name = StrCat(program, ' ', command);
  spec.path = path;
  if (program_) {
    const Result<os::FileIdentity> now = os::IdentityOf(path.c_str());
    if (now && *now == setup_->program) spec.program = program_.get();
    // Taken away: what it has made can still be ended. Nothing new is begun with it.
    if (!now && now.error().code() == Code::kNotFound && command == "delete")
      spec.program = program_.get();
  }
  spec.log_name = StrCat(number, ".log");
  spec.args = {program, "--root", setup_->runtime_root};
  spec.args.insert(spec.args.end(), setup_->runtime_args.begin(), setup_->runtime_args.end());
  for (std::string arg :
       {std::string("--log"), StrCat(setup_->pod_path, "/", kCallsDir, "/", spec.log_name),
        std::string("--log-format=json"), command})
    spec.args.push_back(std::move(arg));
  spec.mounts.pod_path = setup_->pod_path;
  spec.mounts.private_paths = setup_->private_paths;
  spec.mounts.detach_paths = setup_->detach_paths;
  spec.timeout_ms = timeout_ms;
  spec.oom_score_adj = oom_score_adj_;
  return spec;
}

Result<> Monitor::RunProgram(CallSpec spec, Call::Done done) {
  auto call = std::make_unique<Call>();
  TRY(call->StartProgram(loop_, &calls_dir_, std::move(spec), std::move(done)));
  calls_.push_back(std::move(call));
  return Ok();
}

Result<> Monitor::RunHelper(const std::string& name, std::function<Result<>()> work,
                            Call::Done done) {
  auto call = std::make_unique<Call>();
  TRY(call->StartHelper(loop_, &calls_dir_, name, StrCat(NextNumber(), ".log"), kHelperMs,
                        std::move(work), std::move(done)));
  calls_.push_back(std::move(call));
  return Ok();
}

Result<int> Monitor::TakePid(const std::string& number) {
  const std::string name = StrCat(number, ".pid");
  Result<std::string> text = calls_dir_.ReadFile(name, 64);
  (void)calls_dir_.RemoveFile(name);
  if (!text) return std::move(text.error()).Wrap("pid file").WithCode(Code::kInternal);
  return static_cast<int>(TRY(ParseInt(TrimSpace(*text), 2, INT32_MAX, "pid file")));
}

}  // namespace berth::monitor
