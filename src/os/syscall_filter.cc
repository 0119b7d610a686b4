// SPDX-License-Identifier: Apache-2.0
#include "os/syscall_filter.h"

#include <seccomp.h>

#include <cerrno>

#include "base/strings.h"

namespace berth::os {

struct SyscallFilter::Impl {
  scmp_filter_ctx context = nullptr;
  int failed = 0;

  void Add(uint32_t action, const char* name, const ArgumentRule* rule) {
    const int number = seccomp_syscall_resolve_name(name);
    if (context == nullptr || failed < 0 || number == __NR_SCMP_ERROR) return;
    scmp_arg_cmp compare{};
    if (rule != nullptr) compare = {rule->argument, SCMP_CMP_MASKED_EQ, rule->mask, rule->value};
    const int rc =
        seccomp_rule_add_array(context, action, number, rule == nullptr ? 0 : 1, &compare);
    // A pseudo number: the call does not exist on this architecture.
    if (rc < 0 && number >= 0) failed = rc;
  }
};

SyscallFilter::SyscallFilter() : impl_(std::make_unique<Impl>()) {
  impl_->context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
}
SyscallFilter::~SyscallFilter() {
  if (impl_->context != nullptr) seccomp_release(impl_->context);
}

void SyscallFilter::Allow(const char* name) { impl_->Add(SCMP_ACT_ALLOW, name, nullptr); }
void SyscallFilter::AllowIf(const char* name, const ArgumentRule& rule) {
  impl_->Add(SCMP_ACT_ALLOW, name, &rule);
}
void SyscallFilter::Answer(int error, const char* name) {
  impl_->Add(SCMP_ACT_ERRNO(static_cast<uint32_t>(error)), name, nullptr);
}

Result<> SyscallFilter::Load() {
  if (impl_->context == nullptr) return Error(Code::kResourceExhausted, "seccomp: no memory");
  if (impl_->failed == 0) impl_->failed = seccomp_load(impl_->context);
  if (impl_->failed < 0)
    return Error(Code::kInternal,
                 StrCat("seccomp: ", impl_->failed == -ENOMEM ? "no memory" : "refused"));
  return Ok();
}

}  // namespace berth::os
