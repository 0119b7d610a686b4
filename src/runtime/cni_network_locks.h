// SPDX-License-Identifier: Apache-2.0
// What the calls of CniNetwork wait for: one pod at a time (its namespace by itself), a number of chains at once, the default
// network for one. Each is held for a scope; none holds a mutex meanwhile. Order: PodLock, then
// ChainSlot or DefaultLock. Any thread.
#pragma once

#include <string>

#include "runtime/cni_network.h"

namespace berth::runtime {

class CniNetwork::PodLock {
 public:
  PodLock(Guarded<State>& state, std::string id) : state_(state), id_(std::move(id)) {
    auto locked = state_.Lock();
    state_.Wait(locked, [&](State& s) { return !s.busy.contains(id_); });
    locked->busy.insert(id_);
  }
  ~PodLock() {
    state_.Lock()->busy.erase(id_);
    state_.NotifyAll();
  }
  PodLock(const PodLock&) = delete;
  PodLock& operator=(const PodLock&) = delete;

 private:
  Guarded<State>& state_;
  const std::string id_;
};

class CniNetwork::ChainSlot {
 public:
  // `count` of `max` slots at once; all of them keep every other chain away.
  ChainSlot(Guarded<State>& state, int count, int max) : state_(state), count_(count) {
    auto locked = state_.Lock();
    state_.Wait(locked, [&](State& s) { return s.chains + count <= max; });
    locked->chains += count;
  }
  ~ChainSlot() {
    state_.Lock()->chains -= count_;
    state_.NotifyAll();
  }
  ChainSlot(const ChainSlot&) = delete;
  ChainSlot& operator=(const ChainSlot&) = delete;

 private:
  Guarded<State>& state_;
  const int count_;
};

class CniNetwork::DefaultLock {
 public:
  explicit DefaultLock(Guarded<State>& state) : state_(state) {
    auto locked = state_.Lock();
    state_.Wait(locked, [](State& s) { return !s.default_locked; });
    locked->default_locked = true;
  }
  ~DefaultLock() {
    state_.Lock()->default_locked = false;
    state_.NotifyAll();
  }
  DefaultLock(const DefaultLock&) = delete;
  DefaultLock& operator=(const DefaultLock&) = delete;

 private:
  Guarded<State>& state_;
};

}  // namespace berth::runtime
