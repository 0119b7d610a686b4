// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <string.h>

#include <array>
#include <utility>

namespace berth {

struct Error::Box {
  Code code;
  int sys_errno;
  std::string message;
  const char* file;
  int line;
};

std::string_view CodeName(Code code) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "Ok",       "Cancelled",      "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated"};
  auto i = static_cast<size_t>(code);
  return i < kNames.size() ? kNames[i] : "Unknown";
}

Error::Error(Code code, std::string message, const char* file, int line)
    : box_(std::make_unique<Box>(Box{code, 0, std::move(message), file, line})) {}
Error::Error(std::unique_ptr<Box> box) : box_(std::move(box)) {}
Error::Error(Error&&) noexcept = default;
Error& Error::operator=(Error&&) noexcept = default;
Error::~Error() = default;

Code Error::code() const { return box_->code; }
int Error::sys_errno() const { return box_->sys_errno; }
const std::string& Error::message() const { return box_->message; }
const char* Error::file() const { return box_->file; }
int Error::line() const { return box_->line; }

Error Error::Clone() const { return Error(std::make_unique<Box>(*box_)); }

Error&& Error::Wrap(std::string_view context) && {
  std::string text(context);
  text += ": ";
  text += box_->message;
  box_->message = std::move(text);
  return std::move(*this);
}

Error&& Error::WithCode(Code code) && {
  box_->code = code;
  return std::move(*this);
}

namespace {
Code CodeOfErrno(int err) {
  switch (err) {
    case ENOENT:
    case ENOTDIR:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EACCES:
    case EPERM:
      return Code::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case ENOMEM:
      return Code::kResourceExhausted;
    case ETIMEDOUT:
      return Code::kDeadlineExceeded;
    default:
      return Code::kInternal;
  }
}
}  // namespace

Error ErrnoError(std::string_view what, int err, const char* file, int line) {
  std::string text(what);
  text += ": ";
  std::array<char, 128> buffer{};
  text += ::strerror_r(err, buffer.data(), buffer.size());
  Error error(CodeOfErrno(err), std::move(text), file, line);
  error.box_->sys_errno = err;
  return error;
}

}  // namespace berth
