// SPDX-License-Identifier: Apache-2.0
// crun of Debian 12 refuses the OCI version 1.3.0 that containerd 2.3 writes. This is what containerd calls instead: it puts
// 1.0.2 there, a text of the same length, and becomes crun. Built by bench/runtimes.py; one thread.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void change(const char* bundle) {
  char path[4096], text[4096];
  snprintf(path, sizeof path, "%s/config.json", bundle);
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  const ssize_t size = pread(fd, text, sizeof text, 0);
  const char* key = "\"ociVersion\":\"1.3.0\"";
  char* found = size > 0 ? memmem(text, (size_t)size, key, strlen(key)) : NULL;
  if (found && pwrite(fd, "1.0.2", 5, found - text + 14) != 5) perror(path);
  close(fd);
}

int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i)
    if (strcmp(argv[i], "--bundle") == 0) change(argv[i + 1]);
  execv(CRUN, argv);
  perror(CRUN);
  return 127;
}
