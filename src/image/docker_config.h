// SPDX-License-Identifier: Apache-2.0
// Credentials that the operator keeps for the node: Docker's config.json and the helper programs that
// it names. The operator's own files and programs, so trusted; read by the daemon, anew for each
// pull. Plain functions; any thread; a helper may take its time.
// https://docs.docker.com/reference/cli/docker/login/ , github.com/docker/docker-credential-helpers
#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/images.h"

namespace berth::image {

inline constexpr size_t kMaxDockerConfig = 4u << 20;
inline constexpr size_t kMaxHelperAnswer = 1u << 20;

bool IsEmpty(const Credentials& credentials);

// What the first of the files that is there says about `domain` (oci::Reference::domain()):
//   {"credHelpers": {"<host>": "ecr-login"},          runs docker-credential-ecr-login
//    "auths": {"<host>": {"auth": "...", "identitytoken": "..."}},
//    "credsStore": "pass"}                             for hosts that stand in neither
// Empty credentials when none knows it. server_address is always the domain: they are for nobody
// else. FailedPrecondition, naming the file or program, for one that cannot be read or understood,
// or that fails; no message holds a secret. Cancelled as soon as `cancel` asks for it: a helper that
// runs is killed.
Result<Credentials> FindDockerCredentials(const std::vector<std::string>& files,
                                          const std::string& domain,
                                          const std::stop_token& cancel = {});

// What a helper writes for "get": {"Username": "u", "Secret": "s"}; user "<token>": an identity
// token.
Result<Credentials> ParseHelperAnswer(std::string_view text, const std::string& domain);

}  // namespace berth::image
