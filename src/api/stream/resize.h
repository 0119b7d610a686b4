// SPDX-License-Identifier: Apache-2.0
// The resize channel of exec and attach: JSON objects {"Width":80,"Height":24}, one after the other. A value; one
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::stream {

struct TerminalSize {
  uint16_t width = 0;
  uint16_t height = 0;
};

class ResizeReader {
 public:
  // Takes the bytes; the last complete size in them, if any. What is not such an object makes all that follows
  // ignored, as it cannot be told where the next one begins.
  std::optional<TerminalSize> Feed(std::string_view bytes);

 private:
  std::string object_;  // begun, not ended; never long
  bool broken_ = false;
};

}  // namespace berth::stream
