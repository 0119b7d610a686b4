// SPDX-License-Identifier: Apache-2.0
#include "api/stream/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::stream {

namespace {

constexpr size_t kMaxFile = 1U << 20;

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

Error Bad(std::string_view what) {
  std::array<char, 256> text{};
  const unsigned long code = ERR_peek_last_error();
  ERR_error_string_n(code, text.data(), text.size());
  ERR_clear_error();
  return Error(Code::kInvalidArgument,
               code == 0 ? std::string(what) : StrCat(what, ": ", text.data()));
}

Owned<BIO> Open(const std::string& pem) {
  return Owned<BIO>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// Never asks anybody: an encrypted key is an error.
int NoPassword(char*, int, int, void*) { return -1; }

Result<std::vector<Owned<X509>>> ReadCertificates(const std::string& pem, std::string_view what) {
  std::vector<Owned<X509>> certificates;
  const Owned<BIO> bio = Open(pem);
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr))
    certificates.emplace_back(next);
  // The end shows as the lack of another first line.
  const unsigned long code = ERR_peek_last_error();
  if (certificates.empty() || ERR_GET_LIB(code) != ERR_LIB_PEM ||
      ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
    return Bad(what);
  ERR_clear_error();
  return certificates;
}

Result<> UseChain(SSL_CTX* context, const TlsFiles& files) {
  const auto chain = TRY(ReadCertificates(files.chain, "certificate"));
  if (SSL_CTX_use_certificate(context, chain[0].get()) != 1) return Bad("certificate");
  for (size_t i = 1; i < chain.size(); ++i)
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return Bad("certificate chain");
  const Owned<BIO> bio = Open(files.key);
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  if (!key) return Bad("key");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return Bad("key does not belong to the certificate");
  return Ok();
}

Result<> UseClientCa(SSL_CTX* context, const std::string& pem) {
  for (const Owned<X509>& ca : TRY(ReadCertificates(pem, "client CA"))) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) != 1 ||
        SSL_CTX_add_client_CA(context, ca.get()) != 1)
      return Bad("client CA");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return Ok();
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(std::shared_ptr<TlsContext> context, os::Fd socket, Owned<SSL> ssl)
      : context_(std::move(context)), socket_(std::move(socket)), ssl_(std::move(ssl)) {}

  int fd() const override { return socket_.get(); }
  bool HasPending() const override { return SSL_has_pending(ssl_.get()) == 1; }
  Io Read(char* buffer, size_t size) override {
    ERR_clear_error();
    size_t done = 0;
    const int rc = SSL_read_ex(ssl_.get(), buffer, size, &done);
    return Outcome(rc, done);
  }
  Io Write(std::string_view bytes) override {
    ERR_clear_error();
    size_t done = 0;
    const int rc = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &done);
    return Outcome(rc, done);
  }
  void EndWriting() override {
    ERR_clear_error();
    if (SSL_is_init_finished(ssl_.get()) == 1) (void)SSL_shutdown(ssl_.get());
    ::shutdown(socket_.get(), SHUT_WR);
  }

 private:
  Io Outcome(int rc, size_t done) const {
    if (rc == 1) return {Io::State::kDone, done};
    switch (SSL_get_error(ssl_.get(), rc)) {
      case SSL_ERROR_WANT_READ:
        return {Io::State::kWantRead, 0};
      case SSL_ERROR_WANT_WRITE:
        return {Io::State::kWantWrite, 0};
      case SSL_ERROR_ZERO_RETURN:
        return {Io::State::kEnd, 0};
      default:
        return {Io::State::kFailed, 0};
    }
  }

  const std::shared_ptr<TlsContext> context_;
  os::Fd socket_;
  Owned<SSL> ssl_;
};

}  // namespace

Result<TlsFiles> ReadTlsFiles(const std::vector<os::Fd>& fds) {
  if (fds.size() != 2 && fds.size() != 3)
    return Error(Code::kInvalidArgument, StrCat("TLS with ", fds.size(), " files"));
  TlsFiles files;
  files.chain = TRY(os::ReadAll(fds[0].get(), kMaxFile), "certificate");
  files.key = TRY(os::ReadAll(fds[1].get(), kMaxFile), "key");
  if (fds.size() == 3) files.client_ca = TRY(os::ReadAll(fds[2].get(), kMaxFile), "client CA");
  return files;
}

struct TlsContext::Impl {
  Owned<SSL_CTX> context;
};

TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::Make(const TlsFiles& files) {
  ERR_clear_error();
  std::shared_ptr<TlsContext> made(new TlsContext);
  made->impl_ = std::make_unique<Impl>();
  made->impl_->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = made->impl_->context.get();
  if (context == nullptr) return Bad("TLS");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) return Bad("ciphers");
  // Each stream is a connection of its own: nothing is resumed.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  TRY(UseChain(context, files));
  if (files.client_ca) TRY(UseClientCa(context, *files.client_ca));
  return made;
}

Result<std::unique_ptr<Transport>> TlsContext::Wrap(os::Fd socket) {
  ERR_clear_error();
  Owned<SSL> ssl(SSL_new(impl_->context.get()));
  if (!ssl || SSL_set_fd(ssl.get(), socket.get()) != 1) return Bad("TLS connection");
  SSL_set_accept_state(ssl.get());
  return std::unique_ptr<Transport>(
      std::make_unique<TlsTransport>(shared_from_this(), std::move(socket), std::move(ssl)));
}

}  // namespace berth::stream
