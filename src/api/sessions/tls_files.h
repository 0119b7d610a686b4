// SPDX-License-Identifier: Apache-2.0
// The operator's TLS files for berth-stream, which cannot open them itself: opened here as root and handed over. Owned
// by StreamServer; its loop's thread after Make.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace berth::sessions {

class TlsFiles {
 public:
  static constexpr std::chrono::minutes kLookEvery{1};

  TlsFiles() = default;
  // All empty: no TLS. InvalidArgument: a path that is not absolute, a certificate without key or the other way round,
  // a client CA without both.
  static Result<TlsFiles> Make(std::string cert, std::string key, std::string client_ca);

  bool configured() const { return !paths_.empty(); }
  bool checks_clients() const { return paths_.size() == 3; }
  // Certificate chain, key and, if there is one, client CA: open for reading. FailedPrecondition for what is no file.
  Result<std::vector<os::Fd>> Open();
  // Whether one of them is another file than the one that Open opened last, or has been written since.
  bool Changed() const;

 private:
  std::string Look() const;
  std::vector<std::string> paths_;
  std::string seen_;
};

}  // namespace berth::sessions
