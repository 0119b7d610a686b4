// SPDX-License-Identifier: Apache-2.0
// The head of a request, and what is made of it: path, carrier, protocol, ports.
#include "api/stream/upgrade.h"
#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;
namespace stream = berth::stream;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = berth::fuzz::Text(data, size);
  auto parsed = stream::ParseHttpHead(text);
  if (!parsed || !*parsed) return 0;
  const stream::HttpHead& head = **parsed;
  Require(head.size <= text.size() && head.size <= stream::kMaxHead);
  // Found at its exact length and not before.
  auto again = stream::ParseHttpHead(text.substr(0, head.size));
  Require(again && *again && (*again)->fields == head.fields);
  auto shorter = stream::ParseHttpHead(text.substr(0, head.size - 1));
  Require(shorter && !*shorter);
  for (const auto& [name, value] : head.fields) {
    Require(!name.empty());
    for (char c : value) Require(c != '\r' && c != '\n' && c != '\0');
  }
  auto answer = stream::Negotiate(head);
  if (const auto* upgrade = std::get_if<stream::Upgrade>(&answer)) {
    Require(!upgrade->token.empty() && upgrade->token.size() <= 64);
    for (uint32_t port : upgrade->ports) Require(port > 0 && port < 65536);
    Require(stream::SwitchingResponse(*upgrade).starts_with("HTTP/1.1 101 "));
  } else {
    const std::string response = stream::RefusalResponse(std::get<stream::Refusal>(answer));
    Require(response.find("\r\n\r\n") != std::string::npos);
  }
  return 0;
}
