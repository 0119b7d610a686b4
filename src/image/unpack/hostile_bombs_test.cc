// SPDX-License-Identifier: Apache-2.0
// Layers that are small and want to be large, and streams that are no layer.
#include <isa-l/igzip_lib.h>

#include "base/strings.h"
#include "image/unpack/hostile_layers.h"
#include "tests/support/tar_writer.h"

namespace berth::image {

using berth::testing::GzipStored;
using berth::testing::PaxData;
using berth::testing::TarHeader;
using berth::testing::TarMember;
using berth::testing::TarWriter;

namespace {

constexpr Code kBroken = Code::kDataLoss;
constexpr Code kTooMuch = Code::kResourceExhausted;

std::string Deflated(const std::string& bytes) {
  std::string out(bytes.size() / 100 + 4096, '\0');
  isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uint32_t>(bytes.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uint32_t>(out.size());
  if (isal_deflate_stateless(&stream) != COMP_OK) return "";
  out.resize(stream.total_out);
  return out;
}

// A zstd frame (RFC 8878) of `blocks` blocks that each say "128 KiB of this byte": 4 bytes each.
std::string ZstdRuns(size_t blocks, char window_descriptor = 0x38) {
  std::string out("\x28\xb5\x2f\xfd", 4);
  out += std::string(1, '\0');
  out += window_descriptor;
  for (size_t i = 0; i < blocks; ++i) {
    const uint32_t header = (i + 1 == blocks ? 1U : 0U) | 1U << 1 | (128U << 10) << 3;
    for (int byte = 0; byte < 3; ++byte) out += static_cast<char>(header >> (8 * byte));
    out += '\0';
  }
  return out;
}

std::string PaxHeader(const std::string& data, int64_t claimed = -1) {
  TarMember m;
  m.name = "pax";
  m.type = 'x';
  m.data = data;
  m.size = claimed;
  return TarWriter().Add(m).bytes();
}

TarMember Named(const std::string& path) {
  TarMember m;
  m.name = "short";
  m.pax = {{"path", path}};
  return m;
}

TarMember Sparse(std::vector<std::pair<std::string, std::string>> pax, std::string data = "") {
  TarMember m;
  m.name = "sparse";
  m.pax = std::move(pax);
  m.data = std::move(data);
  return m;
}

TarMember LongName(int64_t claimed) {
  TarMember m;
  m.name = "././@LongLink";
  m.type = 'L';
  m.data = "x";
  m.size = claimed;
  return m;
}

std::string Deep(int depth) {
  std::string path;
  for (int i = 0; i < depth; ++i) path += "d/";
  return path + "f";
}

std::string ManyRegions(int count) {
  std::string map;
  for (int i = 0; i < count; ++i) map += StrCat(i ? "," : "", 2 * i, ",1");
  return map;
}

std::vector<HostileLayer> CompressionBombs() {
  std::string member =
      TarWriter().Add({.name = "f", .data = "", .link = "", .pax = {}, .size = 1LL << 40}).bytes();
  const std::string zeros(34U << 20, '\0');
  return {
      Refused("GzipBombInAFile", Deflated(member + zeros), kTooMuch, "layer is larger than"),
      Refused("GzipBombBehindTheEnd", Deflated(zeros), kTooMuch, "layer inflates to more than"),
      Refused("GzipBombOfManyMembers", GzipStored(zeros, 40), kTooMuch,
              "layer inflates to more than"),
      Refused("ZstdBomb", ZstdRuns(10'000), kTooMuch, "layer inflates to more than"),
      // Window_Descriptor 0xa8: 2^31 bytes.
      Refused("ZstdWindowOf2GiB", ZstdRuns(10, static_cast<char>(0xa8)), kTooMuch, "zstd"),
      Refused("ZstdSkippableBomb", std::string("\x50\x2a\x4d\x18\xff\xff\xff\xff", 8) + "x",
              kBroken, "zstd: the stream ends too early"),
  };
}

std::vector<HostileLayer> FormatBombs() {
  TarWriter many;
  for (uint64_t i = 0; i <= kHostileEntries; ++i) many.File(StrCat("f", i), "");
  TarWriter names;
  for (uint64_t i = 0; i <= kHostileEntries; ++i) names.File("same", "");
  TarWriter implied;
  for (int i = 0; i < 1900; ++i) implied.File(StrCat(Deep(8).replace(0, 1, StrCat("n", i))), "");
  std::vector<std::pair<std::string, std::string>> attributes;
  for (int i = 0; i < 300; ++i) attributes.emplace_back(StrCat("SCHILY.xattr.user.a", i), "v");
  return {
      Refused("MoreEntriesThanAllowed", many.Finish(), kTooMuch, "more than 2000 entries"),
      Refused("OneNameManyTimes", names.Finish(), kTooMuch, "more than 2000 entries"),
      Refused("DirectoriesThatNobodyLists", implied.Finish(), kTooMuch, "layer is larger than"),
      Refused("PathTooDeep", TarWriter().Add(Named(Deep(600))).Finish(), kTooMuch,
              "deeper than 512"),
      Refused("PathTooLong", TarWriter().Add(Named(std::string(9000, 'x'))).Finish(), kTooMuch,
              "longer than 4095"),
      Refused("ElementTooLong", TarWriter().Add(Named(std::string(256, 'x'))).Finish(), kTooMuch,
              "an element is too long"),
      Contained("ALongestPath", TarWriter().Add(Named(Deep(511))).Finish(),
                {{"d/d", "directory 755"}}),
      Refused("PaxHeaderOf2GB", PaxHeader("x", 2LL << 30), kTooMuch, "extended header of"),
      Refused("LongNameOf2GB", TarWriter().Add(LongName(2LL << 30)).bytes(), kTooMuch,
              "extended header of"),
      Refused("AttributeTooLarge",
              PaxHeader(PaxData({{"SCHILY.xattr.user.x", std::string(70'000, 'x')}})), kTooMuch,
              "extended attributes beyond the limit"),
      Refused("TooManyAttributes", PaxHeader(PaxData(attributes)), kTooMuch,
              "extended attributes beyond the limit"),
      Refused("FileOf2ToThe60",
              TarWriter()
                  .Add({.name = "f", .data = "", .link = "", .pax = {}, .size = 1LL << 60})
                  .bytes(),
              kTooMuch, "file too large"),
      Refused("SparseFileOf2ToThe60",
              TarWriter()
                  .Add(Sparse({{"GNU.sparse.map", ""}, {"GNU.sparse.size", "1152921504606846976"}}))
                  .bytes(),
              kTooMuch, "too large"),
      Refused("SparseMapOf70000Regions",
              PaxHeader(PaxData(
                  {{"GNU.sparse.size", "200000"}, {"GNU.sparse.map", ManyRegions(70'000)}})),
              kTooMuch, "too many regions"),
      Refused("SparseMapThatClaims2ToThe32Regions",
              TarWriter()
                  .Add(Sparse({{"GNU.sparse.major", "1"},
                               {"GNU.sparse.minor", "0"},
                               {"GNU.sparse.realsize", "100"}},
                              "4294967296\n"))
                  .bytes(),
              kTooMuch, "too many regions"),
      Contained("ASparseFileLargerThanTheBudget",
                TarWriter()
                    .Add(Sparse({{"GNU.sparse.map", ""}, {"GNU.sparse.size", "1099511627776"}}))
                    .Finish(),
                {{"sparse", "file of 1099511627776"}}),
  };
}

}  // namespace

std::vector<HostileLayer> Bombs() {
  std::vector<HostileLayer> all = CompressionBombs();
  for (HostileLayer& layer : FormatBombs()) all.push_back(std::move(layer));
  return all;
}

std::vector<HostileLayer> BrokenArchives() {
  const std::string good = TarWriter().File("f", "content").Finish();
  const std::string gzip = GzipStored(good);
  std::string flipped = good;
  flipped[3] ^= 1;
  std::string crc = gzip;
  crc[crc.size() - 6] ^= 1;
  const std::string header =
      TarHeader({.name = "f", .data = "", .link = "", .pax = {}, .size = 1000});
  TarMember unknown{.name = "f", .type = 'Z', .data = "", .link = "", .pax = {}};
  TarMember nul{.name = "f", .data = "", .link = "", .pax = {{"path", std::string("a\0b", 3)}}};
  TarMember negative{.name = "f", .data = "", .link = "", .pax = {{"size", "-1"}}};
  TarMember huge{.name = "f", .data = "", .link = "", .pax = {{"size", "99999999999999999999999"}}};
  return {
      Refused("Text", std::string(2000, 'x'), kBroken, "checksum is no number"),
      Refused("HalfAHeader", header.substr(0, 300), kBroken, "the stream ends inside a header"),
      Refused("FileWithoutItsData", header + "short", kBroken, "the stream ends inside a"),
      Refused("WrongChecksum", flipped, kBroken, "wrong checksum"),
      Refused("GarbageAfterTheTar", good + "garbage", kBroken, "data after the end of the archive"),
      Refused("ASecondTarAfterTheFirst", good + good, kBroken, "data after the end of the archive"),
      Refused("OneZeroBlockInTheMiddle",
              TarWriter().File("a", "1").Raw(std::string(512, '\0')).File("b", "2").Finish(),
              kBroken, "a zero block in the middle"),
      Refused("GarbageAfterTheGzip", gzip + "garbage", kBroken, "gzip"),
      Refused("GarbageAfterZerosAfterTheGzip", gzip + std::string(10, '\0') + "x", kBroken,
              "gzip: data after the end"),
      Refused("TruncatedGzip", gzip.substr(0, gzip.size() - 9), kBroken,
              "gzip: the stream ends too early"),
      Refused("GzipHeaderOnly", gzip.substr(0, 10), kBroken, "gzip: the stream ends too early"),
      Refused("WrongGzipChecksum", crc, kBroken, "gzip: wrong checksum"),
      Refused("BrokenDeflate",
              std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10) + std::string(100, '\xff'), kBroken,
              "gzip: broken data"),
      Refused("BrokenZstd", std::string("\x28\xb5\x2f\xfd", 4) + std::string(100, '\xff'), kBroken,
              "zstd"),
      Refused("TruncatedZstd", ZstdRuns(3).substr(0, 12), kBroken,
              "zstd: the stream ends too early"),
      Refused("GzipInGzip", GzipStored(gzip), kBroken, "checksum is no number"),
      Refused("Xz",
              std::string("\xfd"
                          "7zXZ\0",
                          6) +
                  std::string(600, '\0'),
              kBroken, "this is no tar"),
      Refused("UnknownType", TarWriter().Add(unknown).Finish(), Code::kInvalidArgument,
              "entry of unknown type 90"),
      Refused("NulInAPath", TarWriter().Add(nul).Finish(), kBroken, "path"),
      Refused("NegativeSize", TarWriter().Add(negative).Finish(), kBroken, "size"),
      Refused("SizeThatFitsNowhere", TarWriter().Add(huge).Finish(), kBroken, "size"),
      Refused("PaxRecordLongerThanItsHeader", PaxHeader("99 path=x\n"), kBroken,
              "PAX record length is beyond the header"),
      Refused("PaxRecordWithoutAnEnd", PaxHeader("9 path=xx"), kBroken,
              "PAX record without its end"),
      Refused("PaxHeaderWithoutAnEntry",
              PaxHeader(PaxData({{"path", "x"}})) + std::string(1024, '\0'), kBroken,
              "the archive ends after an extended header"),
      Refused("OverlappingSparseRegions",
              TarWriter()
                  .Add(Sparse({{"GNU.sparse.size", "100"}, {"GNU.sparse.map", "0,50,20,50"}},
                              std::string(100, 'x')))
                  .Finish(),
              kBroken, "sparse map is out of order"),
      Refused("SparseRegionBeyondTheFile",
              TarWriter()
                  .Add(Sparse({{"GNU.sparse.size", "10"}, {"GNU.sparse.map", "5,6"}}, "123456"))
                  .Finish(),
              kBroken, "sparse map is out of order"),
      Refused(
          "SparseRegionThatOverflows",
          TarWriter()
              .Add(Sparse({{"GNU.sparse.size", "10"}, {"GNU.sparse.map", "5,18446744073709551615"}},
                          "1"))
              .Finish(),
          kBroken, "sparse"),
      Contained("NothingAtAll", "", {}),
      Contained("ZerosOnly", std::string(10240, '\0'), {}),
  };
}

}  // namespace berth::image
