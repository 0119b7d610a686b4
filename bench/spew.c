// SPDX-License-Identifier: Apache-2.0
// spew LINES: writes that many lines of 100 bytes to its output as fast as it can, 65 500 bytes at a time, then "END".
// What the containers of bench/run's part log run.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kLine = 100, kAtOnce = 655 };

static void put(const char* text, size_t size) {
  while (size > 0) {
    const ssize_t n = write(1, text, size);
    if (n < 0) _exit(1);
    text += n;
    size -= (size_t)n;
  }
}

int main(int argc, char** argv) {
  static char text[kAtOnce * kLine];
  memset(text, 'x', sizeof text);
  for (size_t i = kLine; i <= sizeof text; i += kLine) text[i - 1] = '\n';
  for (long left = argc > 1 ? atol(argv[1]) : 0; left > 0;) {
    const long now = left < kAtOnce ? left : kAtOnce;
    put(text, (size_t)now * kLine);
    left -= now;
  }
  put("END\n", 4);
  return 0;
}
