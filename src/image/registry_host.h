// SPDX-License-Identifier: Apache-2.0
// One spelling for each registry, for comparing only: what is asked and shown keeps the spelling that
// was given. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace berth::image {

// "Registry.Example:443" -> "registry.example": lower case, without the default port of `scheme`, an
// address as the usual text of its bytes ("0x7f.1" is 127.0.0.1), every name of Docker Hub as
// "docker.io".
std::string CanonicalRegistry(std::string_view host, std::string_view scheme = "https");

// What a user or docker login writes for a server: "https://index.docker.io/v1/" -> "docker.io".
std::string RegistryOfAddress(std::string_view address);

// "Registry.Example:443/team" -> "registry.example/team": a registry, or a part of it.
std::string CanonicalPrefix(std::string_view name);

// The same for a whole repository: one of Docker Hub without a team is below "docker.io/library".
std::string CanonicalRepository(std::string_view name);

}  // namespace berth::image
