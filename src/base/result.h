// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error; the only way a function of Berth fails. TRY propagates it, with
// context if given. Based on tl::expected, so that std::expected can replace it. Any thread; no
// exceptions.
#pragma once

#include <string_view>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace berth {

template <class T = void>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using Base = tl::expected<T, Error>;
  using Base::Base;
  Result(Error e) : Base(tl::unexpected<Error>(std::move(e))) {}  // NOLINT: implicit on purpose
};

template <>
class [[nodiscard]] Result<void> : public tl::expected<void, Error> {
 public:
  using Base = tl::expected<void, Error>;
  using Base::Base;
  Result() = default;
  Result(Error e) : Base(tl::unexpected<Error>(std::move(e))) {}  // NOLINT: implicit on purpose
};

// The success value of a Result<>.
inline Result<> Ok() { return {}; }

namespace internal {
template <class T>
Error TakeError(Result<T>& r) {
  return std::move(r.error());
}
template <class T>
Error TakeError(Result<T>& r, std::string_view context) {
  return std::move(r.error()).Wrap(context);
}
template <class T>
T TakeValue(Result<T>& r) {
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}
}  // namespace internal

}  // namespace berth

#define BERTH_CONCAT_(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_(a, b)
#define BERTH_TRY_(name, expr, ...)                                                  \
  __extension__({                                                                    \
    auto name = (expr);                                                              \
    if (!name) return ::berth::internal::TakeError(name __VA_OPT__(, ) __VA_ARGS__); \
    ::berth::internal::TakeValue(name);                                              \
  })
// Fd log = TRY(OpenAt(dir, name)); or TRY(OpenAt(dir, name), "open log"): the value, or return the
// error (wrapped).
#define TRY(expr, ...) \
  BERTH_TRY_(BERTH_CONCAT(berth_try_, __COUNTER__), expr __VA_OPT__(, ) __VA_ARGS__)
