// SPDX-License-Identifier: Apache-2.0
// WWW-Authenticate, the realm in it, and where a redirect leads: what a registry may make us do with
// credentials. The first line is the header, the second a Location.
#include "image/fetch/auth.h"
#include "image/fetch/registry.h"
#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;
namespace fetch = berth::image::fetch;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = berth::fuzz::Text(data, size);
  const size_t line = text.find('\n');
  const auto registry = fetch::Url::Parse("https://registry.example.com/v2/");
  Require(registry.has_value());
  for (const fetch::Challenge& challenge : fetch::ParseChallenges(text.substr(0, line))) {
    const auto at = challenge.params.find("realm");
    if (at == challenge.params.end()) continue;
    for (const bool with_credentials : {true, false}) {
      const auto realm = fetch::CheckRealm(*registry, at->second, with_credentials);
      if (!realm) continue;
      Require(realm->https() && !realm->IsInternal());
      if (with_credentials) Require(fetch::MaySeeCredentials(realm->host(), registry->host()));
    }
    const std::string scope = fetch::TokenScope(challenge, "library/busybox");
    Require(scope.starts_with("repository:") && scope.ends_with(":pull"));
  }
  if (line == std::string_view::npos) return 0;
  if (const auto target = fetch::CheckRedirect(*registry, *registry, text.substr(line + 1)))
    Require(target->https() && !target->IsInternal());
  return 0;
}
