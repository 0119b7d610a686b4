// SPDX-License-Identifier: Apache-2.0
// Named files of a local source: an OCI layout, or a tar archive that is read where it lies.
// Implemented by LayoutFiles and TarFiles. Owned by the session; any thread once made (reads are by
// position).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/result.h"
#include "image/fetch/http.h"
#include "os/fd.h"

namespace berth::image::fetch {

class Files {
 public:
  virtual ~Files() = default;
  virtual Result<bool> Exists(const std::string& name) = 0;
  virtual Result<uint64_t> Size(const std::string& name) = 0;  // NotFound
  virtual Result<> Stream(const std::string& name, const BodySink& sink) = 0;
  // ResourceExhausted above `limit`.
  Result<std::string> Read(const std::string& name, size_t limit);
};

// An OCI layout whose files the daemon opens for us, on a socket (image/process_fetcher_files.h).
class LayoutFiles final : public Files {
 public:
  explicit LayoutFiles(os::Fd socket) : socket_(std::move(socket)) {}
  Result<bool> Exists(const std::string& name) override;
  Result<uint64_t> Size(const std::string& name) override;
  Result<> Stream(const std::string& name, const BodySink& sink) override;

 private:
  Result<os::Fd> Open(const std::string& name, uint64_t& size);
  Guarded<os::Fd> socket_;  // held for one request and its answer
};

// POSIX ustar and pax, GNU long names and base-256 sizes. Links inside the archive are followed
// (docker save writes them).
class TarFiles final : public Files {
 public:
  static constexpr size_t kMaxEntries = 65536;
  static constexpr size_t kMaxName = 4096;
  static constexpr size_t kMaxExtension = 64u << 10;  // one pax header
  static constexpr int kMaxLinks = 8;

  // Reads every header of the seekable file. InvalidArgument for what is no tar, FailedPrecondition
  // for a compressed or sparse one, ResourceExhausted above a limit.
  static Result<std::unique_ptr<TarFiles>> Open(os::Fd file);

  Result<bool> Exists(const std::string& name) override;
  Result<uint64_t> Size(const std::string& name) override;
  Result<> Stream(const std::string& name, const BodySink& sink) override;

  // "./a//b/../c" -> "a/c"; InvalidArgument when it leaves the archive.
  static Result<std::string> Normalize(std::string_view name);

 private:
  friend class TarIndexer;
  struct Entry {
    uint64_t offset = 0;
    uint64_t size = 0;
    std::string link;  // name of another entry; empty for a file
  };
  TarFiles() = default;
  Result<const Entry*> Find(const std::string& name) const;

  os::Fd file_;
  std::map<std::string, Entry> entries_;
};

}  // namespace berth::image::fetch
