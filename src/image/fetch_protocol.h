// SPDX-License-Identifier: Apache-2.0
// What berthd and berth-fetch say to each other. berthd is trusted by berth-fetch; what comes back
// is checked here field by field, because berth-fetch reads bytes from the network. Plain
// functions; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/certs_d.h"
#include "image/fetcher.h"

// Control socket: SOCK_SEQPACKET, fd 3 of berth-fetch. One message starts one operation; nothing comes
// back on it but the text of the error with which the process gives up. An operation's own socket:
// SOCK_STREAM.
//
//   berthd                                                              berth-fetch
//     | --- Operation byte + fds [own socket, source | sink] ------------> |   control socket
//     | --- frame: request ----------------------------------------------> |   the operation's own socket
//     | --- frame: credentials (resolve from a registry) ----------------> |
//     | <-------------------------------------------- frame: progress* --- |
//     | <--------------------------------------- frame: done or failure -- |
//
// A frame is a 32-bit length and the bytes. The end of either socket ends the operation; the end of the
// control socket ends the process.
namespace berth::image::fetch {

inline constexpr int kControlFd = 3;
enum class Operation : uint8_t { kResolve = 1, kFetchLayer = 2 };

inline constexpr size_t kMaxRequest = 64u << 20;  // certificates of each endpoint; from the daemon
inline constexpr size_t kMaxReply = 64u << 20;    // all images of an archive
inline constexpr size_t kMaxCredentials = 1u << 20;
inline constexpr size_t kMaxImages = 64;  // in one archive or layout

struct ResolveRequest {
  std::string reference;  // canonical; empty: a local source, whose fd comes with the message
  std::string local_name;
  bool local_is_directory = false;
  std::vector<RegistryEndpoint> endpoints;
  oci::Platform platform;
  std::chrono::milliseconds connect_timeout{30'000};
  std::chrono::milliseconds stall_timeout{60'000};  // no byte from the peer for so long
  std::chrono::milliseconds retry_delay{250};       // before the first repetition, then doubled
  ProxySettings proxy;
  std::string signature_key_pem;  // not empty: the image must be signed by it
};
std::string Encode(const ResolveRequest& request);
Result<ResolveRequest> DecodeResolveRequest(std::string_view bytes);

struct LayerRequest {
  uint64_t image = 0;
  uint64_t layer = 0;
};
std::string Encode(const LayerRequest& request);
Result<LayerRequest> DecodeLayerRequest(std::string_view bytes);

// Made in one allocation, so that Wipe leaves no copy.
std::string Encode(const Credentials& credentials);
Result<Credentials> DecodeCredentials(std::string_view bytes);
void Wipe(std::string& secret);
void Wipe(Credentials& credentials);

enum class ReplyKind : uint8_t { kProgress = 1, kDone = 2, kFailure = 3 };
struct Reply {
  ReplyKind kind = ReplyKind::kProgress;
  uint64_t received = 0;  // progress: bytes since the last one
  std::string payload;    // done: EncodeImages for kResolve, else empty
  Code code = Code::kUnknown;
  std::string message;
};
std::string Encode(const Reply& reply);
Result<Reply> DecodeReply(std::string_view bytes);

std::string EncodeImages(const std::vector<RemoteImage>& images);
// Checks digests, sizes, counts and limits again: the sender may have been taken over. DataLoss for
// what does not hold.
Result<std::vector<RemoteImage>> DecodeImages(std::string_view bytes);

Result<> SendFrame(int socket, std::string_view bytes);
// No value: the peer closed between frames. ResourceExhausted above `limit`.
Result<std::optional<std::string>> ReceiveFrame(int socket, size_t limit);

// One line of printable text, cut at 4 KiB: for error messages that another process sent.
std::string CleanText(std::string_view text);

}  // namespace berth::image::fetch
