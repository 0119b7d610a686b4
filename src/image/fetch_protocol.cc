// SPDX-License-Identifier: Apache-2.0
#include "image/fetch_protocol.h"

#include <openssl/crypto.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/strings.h"
#include "base/wire.h"
#include "os/socket.h"

namespace berth::image::fetch {

namespace {

void Put(wire::Writer& w, const RegistryEndpoint& e) {
  w.Text(e.scheme);
  w.Text(e.host);
  w.Text(e.path);
  w.Bool(e.origin);
  w.Bool(e.pull);
  w.Bool(e.resolve);
  w.Bool(e.skip_verify);
  w.Text(e.ca_pem);
  w.Text(e.client_cert_pem);
  w.Text(e.client_key_pem);
  w.U32(static_cast<uint32_t>(e.headers.size()));
  for (const auto& [name, value] : e.headers) {
    w.Text(name);
    w.Text(value);
  }
  w.I64(e.dial_timeout.count());
  w.U32(static_cast<uint32_t>(e.token_hosts.size()));
  for (const std::string& host : e.token_hosts) w.Text(host);
}

Result<RegistryEndpoint> GetEndpoint(wire::Reader& r) {
  RegistryEndpoint e;
  e.scheme = TRY(r.Text());
  e.host = TRY(r.Text());
  e.path = TRY(r.Text());
  e.origin = TRY(r.Bool());
  e.pull = TRY(r.Bool());
  e.resolve = TRY(r.Bool());
  e.skip_verify = TRY(r.Bool());
  e.ca_pem = TRY(r.Text(2 * kMaxPem));
  e.client_cert_pem = TRY(r.Text(2 * kMaxPem));
  e.client_key_pem = TRY(r.Text(2 * kMaxPem));
  const uint32_t headers = TRY(r.U32());
  for (uint32_t i = 0; i < headers; ++i) {
    std::string name = TRY(r.Text());
    e.headers.emplace_back(std::move(name), TRY(r.Text()));
  }
  e.dial_timeout = std::chrono::milliseconds(TRY(r.I64()));
  const uint32_t hosts = TRY(r.U32());
  if (hosts > kMaxTokenHosts) return Error(Code::kInvalidArgument, "too many token hosts");
  for (uint32_t i = 0; i < hosts; ++i) e.token_hosts.push_back(TRY(r.Text()));
  return e;
}

// False at the end before the first byte.
Result<bool> ReceiveExactly(int socket, char* to, size_t size) {
  size_t got = 0;
  while (got < size) {
    const ssize_t n = ::recv(socket, to + got, size - got, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError("receive frame");
    if (n == 0 && got == 0) return false;
    if (n == 0) return Error(Code::kDataLoss, "receive frame: cut short");
    got += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

std::string Encode(const ResolveRequest& request) {
  wire::Writer w;
  w.Text(request.reference);
  w.Text(request.local_name);
  w.Bool(request.local_is_directory);
  w.U32(static_cast<uint32_t>(request.endpoints.size()));
  for (const RegistryEndpoint& e : request.endpoints) Put(w, e);
  w.Text(request.platform.os);
  w.Text(request.platform.architecture);
  w.Text(request.platform.variant);
  w.I64(request.connect_timeout.count());
  w.I64(request.stall_timeout.count());
  w.I64(request.retry_delay.count());
  for (const std::string* text : {&request.proxy.http, &request.proxy.https, &request.proxy.none})
    w.Text(*text);
  w.Text(request.signature_key_pem);
  return w.Take();
}

Result<ResolveRequest> DecodeResolveRequest(std::string_view bytes) {
  wire::Reader r(bytes);
  ResolveRequest request;
  request.reference = TRY(r.Text());
  request.local_name = TRY(r.Text());
  request.local_is_directory = TRY(r.Bool());
  const uint32_t count = TRY(r.U32());
  if (count > kMaxEndpoints) return Error(Code::kInvalidArgument, "too many endpoints");
  for (uint32_t i = 0; i < count; ++i) request.endpoints.push_back(TRY(GetEndpoint(r)));
  request.platform.os = TRY(r.Text());
  request.platform.architecture = TRY(r.Text());
  request.platform.variant = TRY(r.Text());
  request.connect_timeout = std::chrono::milliseconds(TRY(r.I64()));
  request.stall_timeout = std::chrono::milliseconds(TRY(r.I64()));
  request.retry_delay = std::chrono::milliseconds(TRY(r.I64()));
  for (std::string* text : {&request.proxy.http, &request.proxy.https, &request.proxy.none})
    *text = TRY(r.Text());
  request.signature_key_pem = TRY(r.Text());
  TRY(r.End());
  return request;
}

std::string Encode(const LayerRequest& request) {
  wire::Writer w;
  w.U64(request.image);
  w.U64(request.layer);
  return w.Take();
}

Result<LayerRequest> DecodeLayerRequest(std::string_view bytes) {
  wire::Reader r(bytes);
  LayerRequest request;
  request.image = TRY(r.U64());
  request.layer = TRY(r.U64());
  TRY(r.End());
  return request;
}

std::string Encode(const Credentials& credentials) {
  const Credentials& c = credentials;
  const std::string* fields[] = {&c.username,       &c.password,       &c.auth,
                                 &c.server_address, &c.identity_token, &c.registry_token};
  size_t size = 0;
  for (const std::string* field : fields) size += 4 + field->size();
  std::string out;
  out.reserve(size);
  for (const std::string* field : fields) {
    wire::Writer length;
    length.U32(static_cast<uint32_t>(field->size()));
    out += length.bytes();
    out += *field;
  }
  return out;
}

Result<Credentials> DecodeCredentials(std::string_view bytes) {
  wire::Reader r(bytes);
  Credentials c;
  c.username = TRY(r.Text());
  c.password = TRY(r.Text());
  c.auth = TRY(r.Text());
  c.server_address = TRY(r.Text());
  c.identity_token = TRY(r.Text());
  c.registry_token = TRY(r.Text());
  TRY(r.End());
  return c;
}

void Wipe(std::string& secret) {
  secret.resize(secret.capacity());
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
}

void Wipe(Credentials& credentials) {
  Wipe(credentials.username);
  Wipe(credentials.password);
  Wipe(credentials.auth);
  Wipe(credentials.identity_token);
  Wipe(credentials.registry_token);
}

std::string Encode(const Reply& reply) {
  wire::Writer w;
  w.U8(static_cast<uint8_t>(reply.kind));
  w.U64(reply.received);
  w.Text(reply.payload);
  w.U32(static_cast<uint32_t>(reply.code));
  w.Text(CleanText(reply.message));
  return w.Take();
}

Result<Reply> DecodeReply(std::string_view bytes) {
  wire::Reader r(bytes);
  Reply reply;
  const uint8_t kind = TRY(r.U8());
  if (kind < 1 || kind > 3) return Error(Code::kInvalidArgument, "reply of unknown kind");
  reply.kind = static_cast<ReplyKind>(kind);
  reply.received = TRY(r.U64());
  reply.payload = TRY(r.Text(kMaxReply));
  const uint32_t code = TRY(r.U32());
  if (code == 0 || code > static_cast<uint32_t>(Code::kUnauthenticated)) {
    return Error(Code::kInvalidArgument, "reply with an unknown code");
  }
  reply.code = static_cast<Code>(code);
  reply.message = CleanText(TRY(r.Text()));
  TRY(r.End());
  return reply;
}

Result<> SendFrame(int socket, std::string_view bytes) {
  wire::Writer length;
  length.U32(static_cast<uint32_t>(bytes.size()));
  TRY(os::SendMessage(socket, length.bytes()));
  if (bytes.empty()) return Ok();
  return os::SendMessage(socket, bytes);
}

Result<std::optional<std::string>> ReceiveFrame(int socket, size_t limit) {
  char header[4];
  if (!TRY(ReceiveExactly(socket, header, sizeof header))) return std::optional<std::string>();
  wire::Reader reader(std::string_view(header, sizeof header));
  const uint32_t size = TRY(reader.U32());
  if (size > limit) return Error(Code::kResourceExhausted, StrCat("frame of ", size, " bytes"));
  std::string bytes(size, '\0');
  if (size > 0 && !TRY(ReceiveExactly(socket, bytes.data(), size))) {
    return Error(Code::kDataLoss, "receive frame: cut short");
  }
  return std::optional<std::string>(std::move(bytes));
}

std::string CleanText(std::string_view text) {
  constexpr size_t kLimit = 4096;
  std::string out;
  for (char c : text.substr(0, kLimit)) {
    const auto byte = static_cast<unsigned char>(c);
    // Beyond ASCII it may be no UTF-8 at all, which protobuf would refuse to carry.
    out += byte < 0x20 || byte >= 0x7f ? '?' : c;
  }
  if (text.size() > kLimit) out += "...";
  return out;
}

}  // namespace berth::image::fetch
