// SPDX-License-Identifier: Apache-2.0
// FakeRegistry: an HTTP/1.1 server on 127.0.0.1 that answers each path as the test says, well or
// badly. Owned by the test; its threads end with it. Methods on any thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "os/fd.h"

namespace berth::image {

struct FakeRequest {
  std::string method;                          // "GET"
  std::string target;                          // "/v2/app/manifests/1?ns=x"
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct FakeAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  bool endless = false;  // the body again and again, without a length
  // Close after so many bytes of the body, whose length was announced whole.
  size_t cut_after = ~size_t{0};
  bool hang = false;  // after the headers and the bytes before cut_after: silence
};

// An image as documents.
struct FakeImageDocuments {
  std::string manifest, manifest_type, manifest_digest;
  std::string config, config_digest;
  std::vector<std::string> blobs, blob_digests;
};
// Layers are gzip by name only: nothing in the fetcher looks inside.
FakeImageDocuments MakeImageDocuments(const std::vector<std::string>& layers, bool docker = false,
                                      const std::string& architecture = "amd64");
// An index with one entry for each platform.
std::string MakeIndexDocument(
    const std::vector<std::pair<FakeImageDocuments, std::string>>& images_and_architectures);

class FakeRegistry {
 public:
  using Handler = std::function<FakeAnswer(const FakeRequest&)>;

  FakeRegistry();
  ~FakeRegistry();
  FakeRegistry(const FakeRegistry&) = delete;
  FakeRegistry& operator=(const FakeRegistry&) = delete;

  // "127.0.0.1:port"; also reachable as localhost:port.
  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  uint16_t port() const { return port_; }
  // The path without its query. What is not set is 404.
  void Set(const std::string& path, FakeAnswer answer);
  void Handle(const std::string& path, Handler handler);
  // Serves the image's manifest under `tag` and its digest, its config and blobs.
  void Push(const std::string& repository, const std::string& tag, const FakeImageDocuments& image);
  // Asked before everything else; a status of 0 means: go on.
  void Guard(Handler handler);
  std::vector<FakeRequest> requests() const;

 private:
  void AcceptLoop();
  void Serve(int fd);
  FakeAnswer AnswerTo(const FakeRequest& request);

  os::Fd listener_;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, Handler> handlers_;
  Handler guard_;
  std::vector<FakeRequest> requests_;
  std::vector<std::thread> threads_;
  std::vector<int> open_;
  std::atomic<bool> stop_{false};
  std::thread accept_;
};

}  // namespace berth::image
