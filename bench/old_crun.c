// SPDX-License-Identifier: Apache-2.0
// crun of Debian 12 refuses the OCI version 1.3.0 that containerd 2.3 and CRI-O 1.36 write, and looks for the hugetlb group of a
// kubelet's pod, which the kubelet does not make. This is what they call instead: it puts 1.0.2 there, a text of the same length,
// calls hugepageLimits by a name that crun passes over, and becomes crun. Built by bench/runtimes.py; one thread.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void change(const char* bundle) {
  char path[4096];
  static char text[(1 << 20) + 1];
  snprintf(path, sizeof path, "%s/config.json", bundle);
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  const ssize_t size = pread(fd, text, sizeof text - 1, 0);
  text[size > 0 ? size : 0] = '\0';
  const char* key = "\"ociVersion\":";
  const char* found = strstr(text, key);
  if (found) {
    found += strlen(key);
    found += *found == ' ';  // CRI-O's JSON is indented
    if (strncmp(found, "\"1.3.0\"", 7) == 0 && pwrite(fd, "1.0.2", 5, found - text + 1) != 5) perror(path);
  }
  const char* limits = strstr(text, "\"hugepageLimits\":");
  if (limits && pwrite(fd, "hugepageUnused", 14, limits - text + 1) != 14) perror(path);
  close(fd);
}

int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i)
    if (strcmp(argv[i], "--bundle") == 0) change(argv[i + 1]);
  execv(CRUN, argv);
  perror(CRUN);
  return 127;
}
