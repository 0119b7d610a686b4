// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tar_writer.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace berth::testing {

namespace {

constexpr size_t kBlock = 512;

void Put(std::string& block, size_t offset, size_t size, std::string_view text) {
  block.replace(offset, std::min(size, text.size()), text.substr(0, size));
}

// Octal with a NUL, or the binary form where that is too small.
void PutNumber(std::string& block, size_t offset, size_t size, uint64_t value) {
  char octal[32];
  const int n = std::snprintf(octal, sizeof octal, "%0*llo", static_cast<int>(size - 1),
                              static_cast<unsigned long long>(value));
  if (static_cast<size_t>(n) < size) {
    Put(block, offset, size, std::string_view(octal, static_cast<size_t>(n)));
    return;
  }
  for (size_t i = 0; i < size; ++i) block[offset + i] = '\0';
  for (size_t i = 0; i < 8 && i < size; ++i)
    block[offset + size - 1 - i] = static_cast<char>((value >> (8 * i)) & 0xff);
  block[offset] = static_cast<char>(static_cast<unsigned char>(block[offset]) | 0x80);
}

std::string Padded(std::string_view data) {
  std::string out(data);
  out.resize((out.size() + kBlock - 1) / kBlock * kBlock);
  return out;
}

uint32_t Crc32(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ (0xedb88320 & (0 - (crc & 1)));
  }
  return ~crc;
}

void PutLittle(std::string& out, uint64_t value, int width) {
  for (int i = 0; i < width; ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

}  // namespace

std::string TarHeader(const TarMember& m) {
  std::string block(kBlock, '\0');
  Put(block, 0, 100, m.name);
  PutNumber(block, 100, 8, m.mode);
  PutNumber(block, 108, 8, m.uid);
  PutNumber(block, 116, 8, m.gid);
  PutNumber(block, 124, 12, m.size >= 0 ? static_cast<uint64_t>(m.size) : m.data.size());
  PutNumber(block, 136, 12, static_cast<uint64_t>(m.mtime));
  Put(block, 148, 8, "        ");
  block[156] = m.type;
  Put(block, 157, 100, m.link);
  Put(block, 257, 8, std::string_view("ustar\00000", 8));
  PutNumber(block, 329, 8, m.major);
  PutNumber(block, 337, 8, m.minor);
  unsigned sum = 0;
  for (char c : block) sum += static_cast<unsigned char>(c);
  char text[16];
  std::snprintf(text, sizeof text, "%06o", sum);
  Put(block, 148, 8, std::string(text) + std::string("\0 ", 2));
  return block;
}

std::string PaxData(const std::vector<std::pair<std::string, std::string>>& records) {
  std::string out;
  for (const auto& [key, value] : records) {
    const size_t rest = key.size() + value.size() + 3;
    size_t length = rest + 1;
    while (std::to_string(length).size() + rest != length) ++length;
    out += std::to_string(length) + " " + key + "=" + value + "\n";
  }
  return out;
}

TarWriter& TarWriter::Add(const TarMember& member) {
  if (!member.pax.empty()) {
    TarMember pax;
    pax.name = "pax";
    pax.type = 'x';
    pax.data = PaxData(member.pax);
    Raw(TarHeader(pax)).Raw(Padded(pax.data));
  }
  return Raw(TarHeader(member)).Raw(Padded(member.data));
}

TarWriter& TarWriter::Dir(std::string_view name, unsigned mode) {
  TarMember m;
  m.name = name;
  m.type = '5';
  m.mode = mode;
  return Add(m);
}

TarWriter& TarWriter::File(std::string_view name, std::string_view data, unsigned mode) {
  TarMember m;
  m.name = name;
  m.data = data;
  m.mode = mode;
  return Add(m);
}

TarWriter& TarWriter::Symlink(std::string_view name, std::string_view target) {
  TarMember m;
  m.name = name;
  m.type = '2';
  m.link = target;
  m.mode = 0777;
  return Add(m);
}

TarWriter& TarWriter::HardLink(std::string_view name, std::string_view target) {
  TarMember m;
  m.name = name;
  m.type = '1';
  m.link = target;
  m.mode = 0777;
  return Add(m);
}

TarWriter& TarWriter::Raw(std::string_view bytes) {
  bytes_ += bytes;
  return *this;
}

std::string TarWriter::Finish() const { return bytes_ + std::string(2 * kBlock, '\0'); }

std::string GzipStored(std::string_view bytes, size_t members) {
  std::string out;
  const size_t each = bytes.size() / members + 1;
  for (size_t i = 0; i < members; ++i) {
    std::string_view part = bytes.substr(std::min(bytes.size(), i * each), each);
    const uint32_t crc = Crc32(part);
    const size_t size = part.size();
    out += std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
    do {
      const std::string_view block = part.substr(0, 65535);
      part.remove_prefix(block.size());
      out += part.empty() ? '\1' : '\0';
      PutLittle(out, block.size(), 2);
      PutLittle(out, ~block.size(), 2);
      out += block;
    } while (!part.empty());
    PutLittle(out, crc, 4);
    PutLittle(out, size, 4);
  }
  return out;
}

}  // namespace berth::testing
