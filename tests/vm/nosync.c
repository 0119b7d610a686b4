// SPDX-License-Identifier: Apache-2.0
// Preloaded into berthd in a virtual machine only: the call that the environment names does nothing and says that it has worked.
// NOSYNC=syncfs: a layer's data; NOSYNC=fsync: the databases. Shows that the checks after a power cut see what a forgotten call does.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int off(const char* call) {
  const char* named = getenv("NOSYNC");
  return named != NULL && strcmp(named, call) == 0;
}

int syncfs(int fd) { return off("syncfs") ? 0 : (int)syscall(SYS_syncfs, fd); }
int fsync(int fd) { return off("fsync") ? 0 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return off("fsync") ? 0 : (int)syscall(SYS_fdatasync, fd); }
