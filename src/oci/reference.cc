// SPDX-License-Identifier: Apache-2.0
#include "oci/reference.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace berth::oci {

namespace {

constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::string_view kOldDefaultDomain = "index.docker.io";
constexpr std::string_view kDefaultRepository = "library/";
constexpr std::string_view kDefaultTag = "latest";
constexpr size_t kMaxText = 1024;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLowerAlnum(char c) { return IsLower(c) || IsDigit(c); }
bool IsAlnum(char c) { return IsLowerAlnum(c) || IsUpper(c); }
bool AnyUpper(std::string_view text) { return std::any_of(text.begin(), text.end(), IsUpper); }

Error Bad(std::string_view text, std::string_view problem) {
  return Error(Code::kInvalidArgument, StrCat("image reference ", Quote(text, 128), ": ", problem));
}

// [a-zA-Z0-9] ([a-zA-Z0-9-]* [a-zA-Z0-9])?
bool IsHostLabel(std::string_view label) {
  return !label.empty() && IsAlnum(label.front()) && IsAlnum(label.back()) &&
         std::all_of(label.begin(), label.end(), [](char c) { return IsAlnum(c) || c == '-'; });
}

bool IsPort(std::string_view text) {
  bool digits = text.size() <= 5 && std::all_of(text.begin(), text.end(), IsDigit);
  return digits && ParseInt(text, 1, 65535, "port").has_value();
}

bool IsDomain(std::string_view text) {
  std::string_view host = text;
  std::string_view rest;
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
    if (host.find_first_not_of("0123456789abcdefABCDEF:") != std::string_view::npos) return false;
    in6_addr address;
    if (inet_pton(AF_INET6, std::string(host).c_str(), &address) != 1) return false;
    return rest.empty() || (rest.starts_with(':') && IsPort(rest.substr(1)));
  }
  size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    host = text.substr(0, colon);
    if (!IsPort(text.substr(colon + 1))) return false;
  }
  auto labels = Split(host, '.');
  return std::all_of(labels.begin(), labels.end(), IsHostLabel);
}

// Lower-case letters and digits, held together by ".", "_", "__" or any number of "-".
bool IsPathComponent(std::string_view text) {
  if (text.empty() || !IsLowerAlnum(text.front()) || !IsLowerAlnum(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerAlnum(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (!IsLowerAlnum(text[end])) ++end;  // ends: the last character is one
    std::string_view separator = text.substr(i, end - i);
    bool dashes = separator.find_first_not_of('-') == std::string_view::npos;
    if (!dashes && separator != "." && separator != "_" && separator != "__") return false;
    i = end;
  }
  return true;
}

bool IsTag(std::string_view tag) {
  if (tag.empty() || tag.size() > Reference::kMaxTag) return false;
  if (!IsAlnum(tag.front()) && tag.front() != '_') return false;
  return std::all_of(tag.begin(), tag.end(),
                     [](char c) { return IsAlnum(c) || c == '_' || c == '.' || c == '-'; });
}

// Docker's rule for what stands before the first slash: a domain has a dot, a port or an upper-case
// letter, or is "localhost"; anything else is part of a name on Docker Hub.
std::pair<std::string_view, std::string_view> SplitDomain(std::string_view name) {
  size_t slash = name.find('/');
  if (slash == std::string_view::npos) return {kDefaultDomain, name};
  std::string_view first = name.substr(0, slash);
  bool domain = first.find_first_of(".:") != std::string_view::npos || first == "localhost" ||
                AnyUpper(first);
  if (!domain) return {kDefaultDomain, name};
  if (first == kOldDefaultDomain) first = kDefaultDomain;
  return {first, name.substr(slash + 1)};
}

Result<> CheckPath(std::string_view path, std::string_view text) {
  if (path.size() > Reference::kMaxPath) {
    return Bad(text, StrCat("repository name is longer than ", Reference::kMaxPath));
  }
  for (std::string_view component : Split(path, '/')) {
    if (IsPathComponent(component)) continue;
    return Bad(text,
               AnyUpper(component) ? "repository name must be lower case" : "bad repository name");
  }
  return Ok();
}

}  // namespace

Result<Reference> Reference::Parse(std::string_view text) {
  if (text.empty()) return Bad(text, "empty");
  if (text.size() > kMaxText) return Bad(text, "too long");
  if (LooksLikeImageId(text)) return Bad(text, "is an image id, not a name");

  Reference reference;
  std::string_view name = text;
  if (size_t at = name.find('@'); at != std::string_view::npos) {
    reference.digest_ =
        TRY(Digest::Parse(name.substr(at + 1)), StrCat("image reference ", Quote(text, 128)));
    name = name.substr(0, at);
  }
  auto [domain, path] = SplitDomain(name);
  if (domain.size() > kMaxDomain) return Bad(text, "registry name is too long");
  if (!IsDomain(domain)) return Bad(text, "bad registry name");
  // The domain is off, so a colon can only start the tag.
  if (size_t colon = path.rfind(':'); colon != std::string_view::npos) {
    std::string_view tag = path.substr(colon + 1);
    if (!IsTag(tag)) return Bad(text, "bad tag");
    reference.tag_ = tag;
    path = path.substr(0, colon);
  }
  reference.domain_ = domain;
  bool official = domain == kDefaultDomain && path.find('/') == std::string_view::npos;
  reference.path_ = StrCat(official ? kDefaultRepository : "", path);
  TRY(CheckPath(reference.path_, text));
  if (!reference.tag_ && !reference.digest_) reference.tag_ = kDefaultTag;
  return reference;
}

std::string Reference::Name() const { return StrCat(domain_, "/", path_); }

std::string Reference::str() const {
  std::string out = Name();
  if (tag_) out += StrCat(":", *tag_);
  if (digest_) out += StrCat("@", digest_->str());
  return out;
}

std::optional<std::string> Reference::TagForm() const {
  if (!tag_) return std::nullopt;
  return StrCat(Name(), ":", *tag_);
}

std::string Reference::DigestForm(const Digest& digest) const {
  return StrCat(Name(), "@", digest.str());
}

Reference Reference::WithDigest(const Digest& digest) const {
  Reference out = *this;
  out.tag_.reset();
  out.digest_ = digest;
  return out;
}

std::string Reference::ManifestName() const {
  if (digest_) return digest_->ToString();
  return tag_ ? *tag_ : std::string(kDefaultTag);
}

std::string Reference::RegistryHost() const {
  return domain_ == kDefaultDomain ? "registry-1.docker.io" : domain_;
}

std::optional<Digest> ParseImageId(std::string_view text) {
  auto digest =
      text.find(':') == std::string_view::npos ? Digest::FromHex(text) : Digest::Parse(text);
  if (!digest || digest->algorithm() != Digest::Algorithm::kSha256) return std::nullopt;
  return *digest;
}

bool LooksLikeImageId(std::string_view text) { return ParseImageId(text).has_value(); }

}  // namespace berth::oci
