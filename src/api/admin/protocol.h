// SPDX-License-Identifier: Apache-2.0
// What `berth` asks berthd beside CRI: one request and one answer per connection of a
// SOCK_SEQPACKET socket, 0600 in the state directory, for uid 0 only. Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::api::admin {

inline constexpr uint32_t kVersion = 1;
inline constexpr const char* kSocketName = "admin.sock";
inline constexpr size_t kMessageLimit = 64U << 10;

enum class Verb : uint8_t { kImportImage = 1, kListPulls = 2, kVerifyImages = 3, kShowMetrics = 4 };

// kImportImage carries one fd: an OCI layout directory, or a regular file with an OCI or docker
// archive.
struct Request {
  Verb verb = Verb::kImportImage;
  // kImportImage: overrides the names in the archive. kVerifyImages: the image; empty: all of them.
  std::string name;
  bool heal = false;  // kVerifyImages: fetch bad layers again
};
struct Answer {
  Code code = Code::kOk;
  std::string message;             // when code is not kOk
  std::vector<std::string> lines;  // image ids, pulls, layers or metrics, as they are printed
};

std::string Encode(const Request& request);
std::string Encode(const Answer& answer);
// InvalidArgument for another version, an unknown verb or a malformed message.
Result<Request> DecodeRequest(std::string_view bytes);
Result<Answer> DecodeAnswer(std::string_view bytes);

}  // namespace berth::api::admin
