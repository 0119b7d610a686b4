// SPDX-License-Identifier: Apache-2.0
// Whether this build is instrumented: sandboxes leave AddressSanitizer and ThreadSanitizer the
// address space and the system calls that they need. gcc defines a macro, clang has a feature.
#pragma once

namespace berth {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace berth
