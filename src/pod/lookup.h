// SPDX-License-Identifier: Apache-2.0
// From an id, or its beginning, to an object; private to src/pod. Pure but for the objects' locks; called
// with the table locked.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/strings.h"
#include "pod/engine_impl.h"

namespace berth::pod {

inline bool Visible(const SandboxObject::State& state) {
  return !state.gone && state.record.phase != SandboxPhase::kIntent;
}
inline bool Visible(const ContainerObject::State& state) {
  return !state.gone && state.record.phase != ContainerPhase::kIntent;
}

// The object of that id, or the only visible one whose id begins so. Called with the table locked;
// the object's lock comes second in the order.
template <class Ptr>
Result<Ptr> Lookup(const std::map<std::string, Ptr>& objects, const std::string& id,
                   std::string_view kind) {
  if (id.empty()) return Error(Code::kInvalidArgument, StrCat(kind, " id is empty"));
  Ptr found;
  for (auto it = objects.lower_bound(id); it != objects.end() && it->first.starts_with(id); ++it) {
    if (!Visible(*it->second->state.Lock())) continue;
    if (it->first == id) return it->second;
    if (found) {
      return Error(Code::kInvalidArgument,
                   StrCat(kind, " id ", Quote(id), " is the beginning of more than one"));
    }
    found = it->second;
  }
  return found;
}

// Rule 3: what a filter's id stands for; nothing for an unknown or ambiguous one.
template <class Ptr>
std::vector<Ptr> Candidates(const std::map<std::string, Ptr>& objects, const std::string& id) {
  std::vector<Ptr> out;
  if (id.empty()) {
    for (const auto& [key, object] : objects) out.push_back(object);
    return out;
  }
  Result<Ptr> one = Lookup(objects, id, "filter");
  if (one && *one) out.push_back(*one);
  return out;
}

}  // namespace berth::pod
