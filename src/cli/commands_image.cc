// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <array>
#include <cstdio>
#include <span>

#include "api/admin/protocol.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "os/socket.h"

namespace berth::cli {

using Images = v1::ImageService::Stub;

Result<> PullImage(Client& client, const std::string& reference) {
  v1::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  auto response = TRY(client.Do(client.images(), &Images::PullImage, request));
  std::printf("%s\n", response.image_ref().c_str());
  return Ok();
}

Result<> ListImages(Client& client) {
  auto response = TRY(client.Do(client.images(), &Images::ListImages, v1::ListImagesRequest()));
  for (const auto& image : response.images()) {
    std::string name = image.repo_tags().empty()
                           ? (image.repo_digests().empty() ? "<none>" : image.repo_digests(0))
                           : image.repo_tags(0);
    std::printf("%-60s %.19s %10llu\n", name.c_str(), image.id().c_str(),
                static_cast<unsigned long long>(image.size()));
  }
  return Ok();
}

Result<> RemoveImage(Client& client, const std::string& reference) {
  v1::RemoveImageRequest request;
  request.mutable_image()->set_image(reference);
  TRY(client.Do(client.images(), &Images::RemoveImage, request));
  return Ok();
}

// One request to the admin socket; `fds` go with it.
Result<std::vector<std::string>> AskAdmin(const std::string& state_dir,
                                          const api::admin::Request& request,
                                          std::span<const int> fds) {
  os::DirFd state = TRY(os::DirFd::OpenTrusted(state_dir), "state directory");
  os::Fd socket = TRY(os::ConnectUnix(state, api::admin::kSocketName, os::SocketType::kSeqPacket),
                      "connect to berthd");
  TRY(os::SendMessage(socket.get(), api::admin::Encode(request), fds));
  os::Message message = TRY(os::ReceiveMessage(socket.get(), api::admin::kMessageLimit, 0));
  if (message.end) return Error(Code::kUnavailable, "berthd closed the connection");
  api::admin::Answer answer = TRY(api::admin::DecodeAnswer(message.bytes));
  if (answer.code != Code::kOk) return Error(answer.code, answer.message);
  return std::move(answer.lines);
}

Result<> ImportImage(const std::string& state_dir, const std::string& path,
                     const std::string& name) {
  // The operator's own file, opened with the operator's rights; the daemon sees only the
  // descriptor.
  os::Fd source(::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source) return ErrnoError(path);
  const std::array<int, 1> fds = {source.get()};
  api::admin::Request request;
  request.name = name;
  for (const std::string& id : TRY(AskAdmin(state_dir, request, fds)))
    std::printf("%s\n", id.c_str());
  return Ok();
}

Result<> ListPulls(const std::string& state_dir, const char* before) {
  api::admin::Request request;
  request.verb = api::admin::Verb::kListPulls;
  for (const std::string& line : TRY(AskAdmin(state_dir, request, {})))
    std::printf("%s%s\n", before, line.c_str());
  return Ok();
}

Result<> ShowMetrics(const std::string& state_dir) {
  api::admin::Request request;
  request.verb = api::admin::Verb::kShowMetrics;
  for (const std::string& line : TRY(AskAdmin(state_dir, request, {})))
    std::printf("%s\n", line.c_str());
  return Ok();
}

Result<int> VerifyImages(const std::string& state_dir, const std::string& reference, bool heal) {
  api::admin::Request request;
  request.verb = api::admin::Verb::kVerifyImages;
  request.name = reference;
  request.heal = heal;
  int code = 0;
  for (const std::string& line : TRY(AskAdmin(state_dir, request, {}))) {
    std::printf("%s\n", line.c_str());
    // "sha256:<hex> <state>"
    const std::string_view state = std::string_view(line).substr(line.find(' ') + 1);
    if (state != "good" && state != "healed" && !state.starts_with("unknown")) code = 1;
  }
  return code;
}

}  // namespace berth::cli
