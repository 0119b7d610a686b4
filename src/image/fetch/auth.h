// SPDX-License-Identifier: Apache-2.0
// What a registry may ask of us in WWW-Authenticate and which credentials go where. Pure functions;
// any thread. RFC 9110 section 11, https://distribution.github.io/distribution/spec/auth/token/.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/certs_d.h"
#include "image/fetch/url.h"
#include "image/images.h"
#include "oci/reference.h"

namespace berth::image::fetch {

struct Challenge {
  std::string scheme;                         // lower case: "basic", "bearer"
  std::map<std::string, std::string> params;  // names in lower case
};
// At most 8 challenges of 16 parameters; what comes after a syntax error is left out.
std::vector<Challenge> ParseChallenges(std::string_view header);

// User and password of the pull, from `auth` (base64) when they are only there. InvalidArgument for
// a bad `auth`.
Result<> UnpackAuth(Credentials& credentials);
bool HasCredentials(const Credentials& credentials);

// Do the pull's credentials belong to this server? With a server_address: only when it names the
// server, or the registry that the server is. Without: only to the registry itself, never to a
// mirror.
bool CredentialsAreFor(const Credentials& credentials, const RegistryEndpoint& endpoint,
                       const oci::Reference& reference);

// The token service that a registry names. A registry must not make us call a server inside the node's
// network or send the credentials elsewhere; PermissionDenied unless all of these hold:
//   - an http(s) URL without user information;
//   - https, or http when the registry itself is http and on the same host;
//   - no loopback or link-local address unless the registry is one;
//   - no other bare address than the registry's own;
//   - with credentials: MaySeeCredentials, or one of `token_hosts` (RegistryEndpoint).
Result<Url> CheckRealm(const Url& registry, std::string_view realm, bool with_credentials,
                       const std::vector<std::string>& token_hosts = {});
// Hosts in lower case. The same, one above the other (its owner rules over both: "gitlab.com" for
// "registry.gitlab.com"), a pair that is known ("auth.docker.io" for "registry-1.docker.io"), or neighbours
// ("gitlab.example.com" for "registry.example.com") but where they belong to strangers: under "azurecr.io",
// "amazonaws.com" and the like.
bool MaySeeCredentials(std::string_view service, std::string_view registry);

// "repository:<name>:pull" of what the challenge says, or for `path` when it says nothing usable.
std::string TokenScope(const Challenge& challenge, const std::string& path);

std::string Base64Encode(std::string_view bytes);

}  // namespace berth::image::fetch
