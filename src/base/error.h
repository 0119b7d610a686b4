// SPDX-License-Identifier: Apache-2.0
// What went wrong: a gRPC status code, errno where the kernel said it, and a message that reads
// outermost first. Move-only and 8 bytes (boxed), so that Result<Fd> stays small. Any thread; no
// exceptions.
#pragma once

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

namespace berth {

// The numbers are gRPC's (https://grpc.io/docs/guides/status-codes), so the edge converts by a
// cast.
enum class Code : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "NotFound", for logs and tests.
std::string_view CodeName(Code code);

class [[nodiscard]] Error {
 public:
  // The message is lower case, names the object, has no full stop and no "failed to".
  Error(Code code, std::string message, const char* file = __builtin_FILE(),
        int line = __builtin_LINE());
  Error(Error&&) noexcept;
  Error& operator=(Error&&) noexcept;
  ~Error();

  Code code() const;
  // 0 when no system call was involved.
  int sys_errno() const;
  // "start abc: open log: 0.log: No such file or directory"
  const std::string& message() const;
  const char* file() const;
  int line() const;

  // A copy, made explicitly: for a failure that several waiters must hear.
  Error Clone() const;
  // Puts "context: " before the message.
  Error&& Wrap(std::string_view context) &&;
  Error&& WithCode(Code code) &&;

 private:
  friend Error ErrnoError(std::string_view, int, const char*, int);
  struct Box;
  explicit Error(std::unique_ptr<Box> box);
  std::unique_ptr<Box> box_;
};

// An error for the errno value `err`; the message is "what: <text of errno>". The code follows from it:
//   ENOENT          NotFound             no space, fds, processes, memory   ResourceExhausted
//   EEXIST          AlreadyExists        ETIMEDOUT                          DeadlineExceeded
//   EACCES, EPERM   PermissionDenied     anything else                      Internal
Error ErrnoError(std::string_view what, int err = errno, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE());

}  // namespace berth
