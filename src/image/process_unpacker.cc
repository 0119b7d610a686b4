// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

#include "base/strings.h"
#include "image/unpack_protocol.h"
#include "image/unpacker.h"
#include "os/process.h"

namespace berth::image {

namespace {

// The outcome that a process wrote before its end; what its end itself says only when it wrote
// nothing.
Result<std::string> ReadOutcome(int result_fd, os::Process& process) {
  std::string bytes = TRY(os::ReadAll(result_fd, kMaxUnpackResult), "berth-unpack: result");
  const os::ExitStatus status = TRY(process.Wait(), "berth-unpack");
  if (bytes.empty())
    return Error(Code::kInternal,
                 StrCat("berth-unpack: ended without a result: ", os::Describe(status)));
  return DecodeOutcome(bytes);
}

class RunningProcess final : public RunningUnpack {
 public:
  RunningProcess(os::Process process, os::Fd result)
      : process_(std::move(process)), result_(std::move(result)) {}

  Result<LayerResult> Wait() override {
    const std::string payload = TRY(ReadOutcome(result_.get(), process_));
    Result<LayerResult> result = DecodeLayerResult(payload);
    if (!result) return std::move(result.error()).Wrap("berth-unpack").WithCode(Code::kInternal);
    return result;
  }

 private:
  os::Process process_;
  os::Fd result_;
};

}  // namespace

Result<std::unique_ptr<RunningUnpack>> ProcessUnpacker::Start(const os::DirFd& into, os::Fd input,
                                                              const LayerBudget& budget) {
  os::Pipe result = TRY(os::MakePipe());
  os::SpawnOptions options;
  options.path = path_;
  options.args = {"berth-unpack", "layer", StrCat(budget.bytes), StrCat(budget.entries)};
  options.fds = {{result.write.get(), kUnpackResultFd},
                 {into.get(), kUnpackDirFd},
                 {input.get(), kUnpackInputFd}};
  os::Process process = TRY(os::Spawn(options), "unpack layer");
  std::unique_ptr<RunningUnpack> running =
      std::make_unique<RunningProcess>(std::move(process), std::move(result.read));
  return running;
}

Result<ResolvedUser> ProcessUnpacker::ResolveUser(os::Mount image, const UserQuery& query) {
  const os::Fd input = TRY(os::MakeMemFile("user-query", EncodeUserQuery(query)));
  os::Pipe result = TRY(os::MakePipe());
  os::SpawnOptions options;
  options.path = path_;
  options.args = {"berth-unpack", "user"};
  options.fds = {{result.write.get(), kUnpackResultFd},
                 {image.fd(), kUnpackDirFd},
                 {input.get(), kUnpackInputFd}};
  os::Process process = TRY(os::Spawn(options), "resolve user");
  result.write.Reset();
  const std::string payload = TRY(ReadOutcome(result.read.get(), process));
  Result<ResolvedUser> user = DecodeUser(payload);
  if (!user) return std::move(user.error()).Wrap("berth-unpack").WithCode(Code::kInternal);
  return user;
}

Result<TreeSum> ProcessUnpacker::SumLayer(const os::DirFd& layer) {
  const os::Fd nothing = TRY(os::MakeMemFile("nothing", ""));
  os::Pipe result = TRY(os::MakePipe());
  os::SpawnOptions options;
  options.path = path_;
  options.args = {"berth-unpack", "sum"};
  options.fds = {{result.write.get(), kUnpackResultFd},
                 {layer.get(), kUnpackDirFd},
                 {nothing.get(), kUnpackInputFd}};
  os::Process process = TRY(os::Spawn(options), "sum layer");
  result.write.Reset();
  const std::string payload = TRY(ReadOutcome(result.read.get(), process));
  Result<TreeSum> sum = DecodeTreeSum(payload);
  if (!sum) return std::move(sum.error()).Wrap("berth-unpack").WithCode(Code::kInternal);
  return sum;
}

}  // namespace berth::image
