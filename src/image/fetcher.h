// SPDX-License-Identifier: Apache-2.0
// Where images come from: a registry, an OCI layout, an OCI or docker archive. Implemented by
// ProcessFetcher (one berth-fetch process per session) and FakeFetcher (testing/). A Fetcher is
// owned by the daemon, a session by one pull.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "image/images.h"
#include "oci/digest.h"
#include "oci/image.h"
#include "oci/reference.h"
#include "os/fd.h"

namespace berth::image {

struct RemoteLayer {
  oci::Digest digest;   // of the blob as it is transferred
  oci::Digest diff_id;  // of the tar in it, as the config says; the unpacker checks it
  uint64_t size = 0;    // bytes of the blob
  oci::LayerCompression compression = oci::LayerCompression::kNone;
};

// All of it was validated and bounded by the fetcher; the names are canonical. Texts inside remain
// untrusted.
struct RemoteImage {
  oci::Digest config_digest;      // the image id: sha256 of config_json
  std::vector<std::string> tags;  // "docker.io/library/busybox:1"; empty for a reference by digest
  // "docker.io/library/busybox@sha256:..." of the index or manifest that was named.
  std::vector<std::string> digests;
  std::string config_json;  // raw, at most oci::kMaxConfigBytes, its digest is config_digest
  ImageProcess process;
  std::map<std::string, std::string> labels;
  std::vector<RemoteLayer> layers;  // base first, at most oci::kMaxLayers
};

struct RegistrySource {
  oci::Reference reference;
  Credentials credentials;
  // Not empty: Resolve fails unless the image is signed by this key (PEM); FailedPrecondition, message
  // beginning with "SignatureValidationFailed: ".
  std::string signature_key_pem = {};
};

// A directory's fd (OCI layout) or a seekable regular file's fd (OCI archive, docker archive).
struct LocalSource {
  os::Fd fd;
  // Overrides the names inside when not empty; only for a source with exactly one image.
  std::string name;
};

using RemoteSource = std::variant<RegistrySource, LocalSource>;

// How servers are reached, as in the usual environment variables; empty: directly. Loopback is
// always reached directly. The URLs may hold a password: it is in no message.
struct ProxySettings {
  std::string http, https;  // "http://user:password@proxy:3128", for URLs of that scheme
  std::string none;         // "localhost,.example.com,10.0.0.0/8": names and networks without
};

// One pull. Every method may be called from any thread; Resolve once and first, FetchLayer from
// several at once.
inline constexpr std::string_view kAskAgain = "; another server may have it";

class FetchSession {
 public:
  // Ends the process. No call may be running in another thread any more: Cancel, join, then this.
  virtual ~FetchSession() = default;

  // A registry gives exactly one image, an archive or layout at least one.
  // Unauthenticated, PermissionDenied, NotFound, Unavailable (message begins with
  // "RegistryUnavailable: "), DataLoss (content is not what its digest or size says),
  // InvalidArgument (document breaks the spec), FailedPrecondition (no container image),
  // ResourceExhausted (a limit), Cancelled.
  virtual Result<std::vector<RemoteImage>> Resolve() = 0;
  // Writes the blob of images[image].layers[layer] to `sink` (a pipe) and closes it. Blocks. On
  // success every byte was written and size and digest match; on an error the reader has seen the
  // end of a prefix: discard it. As above, and Aborted when the reader of the pipe went away. DataLoss
  // whose message ends in kAskAgain: the server that lied will not be asked again, another one can be.
  virtual Result<> FetchLayer(size_t image, size_t layer, os::Fd sink) = 0;
  // Makes every call that runs or comes return Cancelled, soon.
  virtual void Cancel() = 0;
  // Bytes of blobs so far, all layers together.
  virtual uint64_t received() const = 0;
};

class Fetcher {
 public:
  virtual ~Fetcher() = default;
  // Cheap: nothing is contacted before Resolve. Any thread.
  virtual Result<std::unique_ptr<FetchSession>> Open(RemoteSource source) = 0;
};

}  // namespace berth::image
