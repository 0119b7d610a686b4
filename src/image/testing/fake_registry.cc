// SPDX-License-Identifier: Apache-2.0
#include "image/testing/fake_registry.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>

#include "base/strings.h"
#include "image/hash.h"
#include "os/socket.h"

namespace berth::image {

namespace {

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool ReadRequest(int fd, FakeRequest& request) {
  std::string text;
  char c = 0;
  while (!text.ends_with("\r\n\r\n") && text.size() < 65536) {
    if (::recv(fd, &c, 1, 0) != 1) return false;
    text += c;
  }
  const auto lines = Split(text, '\n');
  const auto words = Split(lines[0], ' ');
  if (words.size() != 3) return false;
  request.method = words[0];
  request.target = words[1];
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t colon = lines[i].find(':');
    if (colon == std::string_view::npos) continue;
    request.headers[ToLower(lines[i].substr(0, colon))] = TrimSpace(lines[i].substr(colon + 1));
  }
  const auto length = request.headers.find("content-length");
  const size_t wanted = length == request.headers.end() ? 0 : std::stoul(length->second);
  while (request.body.size() < std::min<size_t>(wanted, 65536)) {
    if (::recv(fd, &c, 1, 0) != 1) return false;
    request.body += c;
  }
  return true;
}

std::string Descriptor(const std::string& type, const std::string& bytes) {
  return StrCat("{\"mediaType\":\"", type, "\",\"digest\":\"", Sha256::Of(bytes).str(),
                "\",\"size\":", bytes.size(), "}");
}

}  // namespace

FakeImageDocuments MakeImageDocuments(const std::vector<std::string>& layers, bool docker,
                                      const std::string& architecture) {
  FakeImageDocuments out;
  std::string diff_ids, descriptors;
  const std::string layer_type = docker ? "application/vnd.docker.image.rootfs.diff.tar.gzip"
                                        : "application/vnd.oci.image.layer.v1.tar+gzip";
  for (const std::string& layer : layers) {
    out.blobs.push_back(layer);
    out.blob_digests.push_back(Sha256::Of(layer).ToString());
    diff_ids += StrCat(diff_ids.empty() ? "" : ",", "\"", Sha256::Of("tar " + layer).str(), "\"");
    descriptors += StrCat(descriptors.empty() ? "" : ",", Descriptor(layer_type, layer));
  }
  out.config = StrCat("{\"architecture\":\"", architecture,
                      "\",\"os\":\"linux\",\"config\":{\"User\":\"1000\",\"Env\":[\"A=b\"],"
                      "\"Cmd\":[\"/bin/sh\"],\"Labels\":{\"k\":\"v\"}},\"rootfs\":{\"type\":"
                      "\"layers\",\"diff_ids\":[",
                      diff_ids, "]}}");
  out.config_digest = Sha256::Of(out.config).ToString();
  out.manifest_type = docker ? "application/vnd.docker.distribution.manifest.v2+json"
                             : "application/vnd.oci.image.manifest.v1+json";
  const std::string config_type = docker ? "application/vnd.docker.container.image.v1+json"
                                         : "application/vnd.oci.image.config.v1+json";
  out.manifest = StrCat("{\"schemaVersion\":2,\"mediaType\":\"", out.manifest_type,
                        "\",\"config\":", Descriptor(config_type, out.config), ",\"layers\":[",
                        descriptors, "]}");
  out.manifest_digest = Sha256::Of(out.manifest).ToString();
  return out;
}

std::string MakeIndexDocument(
    const std::vector<std::pair<FakeImageDocuments, std::string>>& images_and_architectures) {
  std::string entries;
  for (const auto& [image, architecture] : images_and_architectures) {
    std::string entry = Descriptor(image.manifest_type, image.manifest);
    entry.pop_back();
    entries += StrCat(entries.empty() ? "" : ",", entry, ",\"platform\":{\"os\":\"linux\",",
                      "\"architecture\":\"", architecture, "\"}}");
  }
  return StrCat("{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",",
                "\"manifests\":[", entries, "]}");
}

FakeRegistry::FakeRegistry() {
  listener_.Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_.get(), raw, size) < 0 || ::listen(listener_.get(), 64) < 0 ||
      ::getsockname(listener_.get(), raw, &size) < 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  accept_ = std::thread([this] { AcceptLoop(); });
}

FakeRegistry::~FakeRegistry() {
  stop_ = true;
  accept_.join();
  {
    std::lock_guard lock(mutex_);
    for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
}

void FakeRegistry::AcceptLoop() {
  while (!stop_) {
    pollfd ready{listener_.get(), POLLIN, 0};
    if (::poll(&ready, 1, 20) <= 0) continue;
    auto fd = os::Accept(listener_.get());
    if (!fd) continue;
    std::lock_guard lock(mutex_);
    open_.push_back(fd->get());
    threads_.emplace_back([this, owned = std::move(*fd)]() mutable {
      Serve(owned.get());
      std::lock_guard inner(mutex_);
      std::erase(open_, owned.get());
      owned.Reset();
    });
  }
}

FakeAnswer FakeRegistry::AnswerTo(const FakeRequest& request) {
  Handler guard, handler;
  {
    std::lock_guard lock(mutex_);
    requests_.push_back(request);
    guard = guard_;
    const auto found = handlers_.find(request.target.substr(0, request.target.find('?')));
    if (found != handlers_.end()) handler = found->second;
  }
  if (guard) {
    FakeAnswer answer = guard(request);
    if (answer.status != 0) return answer;
  }
  if (handler) return handler(request);
  return {404, {}, "{\"errors\":[{\"code\":\"NAME_UNKNOWN\",\"message\":\"no\"}]}"};
}

void FakeRegistry::Serve(int fd) {
  FakeRequest request;
  if (!ReadRequest(fd, request)) return;
  const FakeAnswer answer = AnswerTo(request);
  std::string head = StrCat("HTTP/1.1 ", answer.status, " X\r\nConnection: close\r\n");
  for (const auto& [name, value] : answer.headers) head += StrCat(name, ": ", value, "\r\n");
  if (!answer.endless) head += StrCat("Content-Length: ", answer.body.size(), "\r\n");
  if (!SendAll(fd, head + "\r\n")) return;
  while (answer.endless && !stop_ && SendAll(fd, answer.body)) {
  }
  SendAll(fd, std::string_view(answer.body).substr(0, answer.cut_after));
  char c = 0;
  if (answer.hang) (void)::recv(fd, &c, 1, 0);  // until the client or the test gives up
}

void FakeRegistry::Set(const std::string& path, FakeAnswer answer) {
  Handle(path, [answer](const FakeRequest&) { return answer; });
}

void FakeRegistry::Handle(const std::string& path, Handler handler) {
  std::lock_guard lock(mutex_);
  handlers_[path] = std::move(handler);
}

void FakeRegistry::Guard(Handler handler) {
  std::lock_guard lock(mutex_);
  guard_ = std::move(handler);
}

void FakeRegistry::Push(const std::string& repository, const std::string& tag,
                        const FakeImageDocuments& image) {
  const std::string base = StrCat("/v2/", repository);
  const FakeAnswer manifest{200, {{"Content-Type", image.manifest_type}}, image.manifest};
  Set(StrCat(base, "/manifests/", tag), manifest);
  Set(StrCat(base, "/manifests/", image.manifest_digest), manifest);
  Set(StrCat(base, "/blobs/", image.config_digest), {200, {}, image.config});
  for (size_t i = 0; i < image.blobs.size(); ++i) {
    Set(StrCat(base, "/blobs/", image.blob_digests[i]), {200, {}, image.blobs[i]});
  }
}

std::vector<FakeRequest> FakeRegistry::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

}  // namespace berth::image
