// SPDX-License-Identifier: Apache-2.0
#include "api/sessions/tls_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/strings.h"

namespace berth::sessions {

Result<TlsFiles> TlsFiles::Make(std::string cert, std::string key, std::string client_ca) {
  TlsFiles files;
  if (cert.empty() && key.empty() && client_ca.empty()) return files;
  if (cert.empty() || key.empty())
    return Error(Code::kInvalidArgument,
                 "streaming: TLS needs both a certificate (tls_cert) and its key (tls_key)");
  files.paths_ = {std::move(cert), std::move(key)};
  if (!client_ca.empty()) files.paths_.push_back(std::move(client_ca));
  for (const std::string& path : files.paths_)
    if (path[0] != '/')
      return Error(Code::kInvalidArgument,
                   StrCat("streaming: TLS file ", Quote(path), ": not an absolute path"));
  return files;
}

// The operator's own paths: symlinks are how certificates are renewed, and they are followed.
Result<std::vector<os::Fd>> TlsFiles::Open() {
  seen_ = Look();
  std::vector<os::Fd> files;
  for (const std::string& path : paths_) {
    os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!file) return ErrnoError(path);
    struct stat st{};
    if (::fstat(file.get(), &st) < 0) return ErrnoError(path);
    if (!S_ISREG(st.st_mode))
      return Error(Code::kFailedPrecondition, StrCat(path, ": not a regular file"));
    files.push_back(std::move(file));
  }
  return files;
}

bool TlsFiles::Changed() const { return Look() != seen_; }

std::string TlsFiles::Look() const {
  std::string seen;
  for (const std::string& path : paths_) {
    struct stat st{};
    if (::stat(path.c_str(), &st) < 0) continue;
    seen += StrCat(st.st_dev, ' ', st.st_ino, ' ', st.st_size, ' ', st.st_mtim.tv_sec, ' ',
                   st.st_mtim.tv_nsec, '\n');
  }
  return seen;
}

}  // namespace berth::sessions
