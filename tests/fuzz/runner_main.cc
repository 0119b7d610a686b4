// SPDX-License-Identifier: Apache-2.0
// Feeds files, or all files of folders, to a fuzz target once: replays a corpus where libFuzzer is
// not available.
#include <dirent.h>
#include <sys/stat.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

bool RunFile(const std::string& path) {
  FILE* file = fopen(path.c_str(), "rbe");
  if (file == nullptr) return false;
  std::vector<uint8_t> bytes;
  uint8_t buffer[4096];
  for (size_t got = 0; (got = fread(buffer, 1, sizeof buffer, file)) > 0;) {
    bytes.insert(bytes.end(), buffer, buffer + got);
  }
  bool read = ferror(file) == 0;
  fclose(file);
  // Shown first, so that the file that crashes the target is the last one named.
  printf("%s\n", path.c_str());
  fflush(stdout);
  if (read) LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  return read;
}

bool RunFolder(const std::string& path) {
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) return false;
  bool good = true;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') good = RunFile(path + "/" + entry->d_name) && good;
  }
  closedir(folder);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  bool good = true;
  for (int i = 1; i < argc; ++i) {
    std::string path = argv[i];
    if (path[0] == '-') continue;  // libFuzzer's options
    struct stat info;
    bool folder = stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    good = (folder ? RunFolder(path) : RunFile(path)) && good;
  }
  return good ? 0 : 1;
}
