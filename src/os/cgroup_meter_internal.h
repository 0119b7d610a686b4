// SPDX-License-Identifier: Apache-2.0
// The files that a CgroupMeter keeps, shared by the files that implement it. Private to src/os.
#pragma once

#include "os/cgroup_meter.h"

namespace berth::os {

enum CgroupMeter::File : size_t {
  kCpuUsage,  // v1: nanoseconds
  kCpuStat,   // v1: periods and throttling; v2: everything
  kCpuTimes,  // v1: user and system in ticks
  kMemoryUsage,
  kMemoryStat,
  kMemoryLimit,  // v2; on v1 memory.stat says it
  kMemoryMax,
  kMemoryKernel,  // v1; on v2 memory.stat says it
  kMemoryHits,    // v1; on v2 memory.events says it
  kMemoryEvents,
  kMemoryReservation,
  kSwap,       // v2; on v1 memory.stat says it
  kSwapLimit,  // as kSwap
  kTasks,
  kTasksLimit,
  kIo,
  kIoOperations,  // v1
  kCpuPressure,
  kMemoryPressure,
  kIoPressure,
  kPids,  // the last: kFiles counts up to here
};

struct CgroupMeter::Spec {
  File file;
  CgroupDetail detail;  // the least that it is needed for
  const char* controller;
  const char* name;
};

}  // namespace berth::os
