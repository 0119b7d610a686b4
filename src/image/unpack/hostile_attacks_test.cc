// SPDX-License-Identifier: Apache-2.0
// Layers that use what earlier runtimes did wrong: parents checked once, metadata applied by name,
// whiteouts made by following, programs and libraries of the image taken for the host's.
#include "base/strings.h"
#include "image/unpack/hostile_layers.h"
#include "tests/support/tar_writer.h"

namespace berth::image {

using berth::testing::TarMember;
using berth::testing::TarWriter;

namespace {

TarMember Member(std::string name, char type, std::string link = "") {
  TarMember m;
  m.name = std::move(name);
  m.type = type;
  m.link = std::move(link);
  return m;
}

TarMember With(TarMember m, std::vector<std::pair<std::string, std::string>> pax) {
  m.pax = std::move(pax);
  return m;
}

TarMember Device(char type, unsigned long major, unsigned long minor) {
  TarMember m = Member("dev/x", type);
  m.major = major;
  m.minor = minor;
  return m;
}

std::vector<HostileLayer> ParentSwaps(const HostilePaths& p) {
  const std::string& in = p.inside;
  TarMember owned = Member("out/file", '0');
  owned.mode = 06777;
  owned.uid = owned.gid = 4321;
  return {
      // CVE-2025-47290: the directory that was just used becomes a link.
      Contained("ParentSwappedAfterUse",
                TarWriter()
                    .Dir("d")
                    .File("d/a", "1")
                    .Symlink("d", p.absolute)
                    .File("d/b", "bad")
                    .Finish(),
                {{"d", "link " + p.absolute}, {in + "/b", "file bad"}}),
      Contained("GrandparentSwappedAfterUse",
                TarWriter()
                    .Dir("a")
                    .Dir("a/b")
                    .File("a/b/c", "1")
                    .Symlink("a", p.absolute)
                    .File("a/b/d", "bad")
                    .Finish(),
                {{in + "/b/d", "file bad"}}),
      Contained("ParentSwappedForAHardLinkToALink",
                TarWriter()
                    .Symlink("l", p.absolute)
                    .Dir("d")
                    .File("d/a", "1")
                    .HardLink("d", "l")
                    .File("d/file", "bad")
                    .Finish(),
                {{"d", "link " + p.absolute}, {in + "/file", "file bad"}}),
      Contained(
          "ParentIsALinkToItsOwnParent",
          TarWriter().Dir("d").Symlink("d/self", ".").File("d/self/self/self/x", "1").Finish(),
          {{"d/x", "file 1"}}),
      Contained("LinkThroughProc",
                TarWriter()
                    .Symlink("out", "/proc/self/root" + p.absolute)
                    .File("out/file", "bad")
                    .Finish(),
                {{"proc/self/root" + p.absolute + "/file", "file bad"}}),
      Contained(
          "LinkThroughProcCwd",
          TarWriter().Symlink("out", "/proc/self/cwd/../canary").File("out/file", "bad").Finish(),
          {{"proc/self/canary/file", "file bad"}}),
      Contained(
          "LinkThroughDevFd",
          TarWriter().Symlink("out", "/proc/self/fd/4/../canary").File("out/file", "bad").Finish(),
          {{"proc/self/fd/canary/file", "file bad"}}),
      Refused("LinksInACircle",
              TarWriter().Symlink("a", "b").Symlink("b", "a").File("a/file", "bad").Finish(),
              Code::kUnknown, "symbolic links"),
      Refused("LinkToItself", TarWriter().Symlink("a", "a/x").File("a/file", "bad").Finish(),
              Code::kUnknown, "symbolic links"),
      Contained("MetadataThroughALinkedParent",
                TarWriter().Symlink("out", p.absolute).Add(owned).Finish(),
                {{in + "/file", "file "}}),
      Contained("DirectoryModeThroughALink",
                TarWriter().Symlink("out", p.absolute).Dir("out", 0777).Finish(),
                {{"out", "directory 777"}}),
      Contained("DirectoryModeThroughALinkedParent",
                TarWriter().Symlink("out", p.absolute).Dir("out/dir", 0777).Finish(),
                {{in + "/dir", "directory 777"}}),
      Contained("RootIsNoLink", TarWriter().Dir("/..", 0711).File("/../x", "1").Finish(),
                {{"x", "file 1"}}),
      Refused("RootBecomesALink", TarWriter().Symlink("./.", p.absolute).Finish(),
              Code::kInvalidArgument, "the root is no directory"),
      Refused("RootBecomesAFile", TarWriter().File("..", "bad").Finish(), Code::kInvalidArgument,
              "the root is no directory"),
      Refused("FileAsParent", TarWriter().File("f", "1").File("f/g", "bad").Finish(),
              Code::kUnknown, "Not a directory"),
      Refused("FifoAsParent", TarWriter().Add(Member("f", '6')).File("f/g", "bad").Finish(),
              Code::kUnknown, "Not a directory"),
      Contained("FileOverAFifo", TarWriter().Add(Member("f", '6')).File("f", "mine").Finish(),
                {{"f", "file mine"}}),
      Contained("FileOverADevice",
                TarWriter().Add(Device('3', 1, 3)).File("dev/x", "mine").Finish(),
                {{"dev/x", "file mine"}}),
      Contained("FileOverAFileInADirectoryThatIsGone",
                TarWriter().Dir("d").File("d/a", "1").File("d", "2").File("d", "3").Finish(),
                {{"d", "file 3"}}),
  };
}

std::vector<HostileLayer> Whiteouts(const HostilePaths& p) {
  const std::string& in = p.inside;
  return {
      Contained("OpaqueThroughALink",
                TarWriter().Symlink("out", p.absolute).File("out/.wh..wh..opq", "").Finish(),
                {{in, "directory 755 opaque"}}),
      Contained("OpaqueUpAndOut", TarWriter().File(p.up + "/.wh..wh..opq", "").Finish(),
                {{in, "directory 755 opaque"}}),
      Contained("OpaqueAsADirectory", TarWriter().Dir("d").Dir("d/.wh..wh..opq").Finish(),
                {{"d", "directory 755 opaque"}}),
      Contained("OpaqueAsALink",
                TarWriter().Dir("d").Symlink("d/.wh..wh..opq", p.absolute).Finish(),
                {{"d", "directory 755 opaque"}}),
      Refused("EntryBelowOpaque", TarWriter().File("d/.wh..wh..opq/x", "bad").Finish(),
              Code::kInvalidArgument, "entry below a whiteout"),
      Refused("UnknownMetaWhiteout", TarWriter().File("d/.wh..wh.aufs", "").Finish(),
              Code::kInvalidArgument, "unknown kind of whiteout"),
      Contained("WhiteoutAsALink", TarWriter().Symlink("d/.wh.x", p.absolute).Finish(),
                {{"d/x", "whiteout"}}),
      Contained("WhiteoutOfOwnFileKeepsIt",
                TarWriter().File("f", "mine").File(".wh.f", "").Finish(), {{"f", "file mine"}}),
      Contained("WhiteoutThenFile", TarWriter().File(".wh.f", "").File("f", "mine").Finish(),
                {{"f", "file mine"}}),
      Contained("WhiteoutThenDirectory",
                TarWriter().File(".wh.d", "").Dir("d").File("d/x", "1").Finish(),
                {{"d", "directory 755 opaque"}, {"d/x", "file 1"}}),
      Contained("WhiteoutWithDots", TarWriter().File(".wh..x", "").Finish(), {{".x", "whiteout"}}),
      Contained("WhiteoutOfAWhiteoutName", TarWriter().File("d/.wh.a.wh.b", "").Finish(),
                {{"d/a.wh.b", "whiteout"}}),
      Refused("HardLinkToAWhiteout", TarWriter().File(".wh.f", "").HardLink("h", "f").Finish(),
              Code::kFailedPrecondition, "which this layer does not have"),
      Refused("DeviceThatWouldBeAWhiteout", TarWriter().Add(Device('3', 0, 0)).Finish(),
              Code::kInvalidArgument, "device number 0:0"),
  };
}

std::vector<HostileLayer> Metadata(const HostilePaths& p) {
  const std::string capability("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  return {
      Contained(
          "OverlayAttributesAreLeftOut",
          TarWriter()
              .Add(With(Member("d", '5'), {{"SCHILY.xattr.trusted.overlay.redirect", p.absolute},
                                           {"SCHILY.xattr.trusted.overlay.opaque", "y"},
                                           {"SCHILY.xattr.user.overlay.opaque", "y"},
                                           {"SCHILY.xattr.security.selinux", "system_u"},
                                           {"SCHILY.xattr.trusted.x", "y"}}))
              .Finish(),
          {{"d", "directory 644"}}),
      Contained("CapabilityOnADeviceIsLeftOut",
                TarWriter()
                    .Add(With(Member("f", '6'), {{"SCHILY.xattr.security.capability", capability}}))
                    .Finish(),
                {{"f", "fifo"}}),
      Contained(
          "AttributesOfALinkGoNowhere",
          TarWriter()
              .Add(With(Member("l", '2', p.absolute + "/file"), {{"SCHILY.xattr.user.x", "y"}}))
              .Finish(),
          {{"l", "link " + p.absolute + "/file"}}),
      Refused("BrokenCapability",
              TarWriter()
                  .Add(With(Member("f", '0'), {{"SCHILY.xattr.security.capability", "?"}}))
                  .Finish(),
              Code::kUnknown, "security.capability"),
      Refused("MajorOutOfRange", TarWriter().Add(Device('4', 4096, 0)).Finish(),
              Code::kInvalidArgument, "out of range"),
      Refused("MinorOutOfRange", TarWriter().Add(Device('3', 1, 1 << 20)).Finish(),
              Code::kInvalidArgument, "out of range"),
      Refused("MajorBeyond32Bits", TarWriter().Add(Device('3', 1UL << 32, 1)).Finish(),
              Code::kInvalidArgument, "out of range"),
      Refused("UidMinusOne",
              TarWriter().Add(With(Member("f", '0'), {{"uid", "4294967295"}})).Finish(),
              Code::kInvalidArgument, "uid 4294967295 is out of range"),
      Refused("GidBeyond32Bits",
              TarWriter().Add(With(Member("f", '0'), {{"gid", "4294967296"}})).Finish(),
              Code::kInvalidArgument, "gid 4294967296 is out of range"),
      Contained("TimesFarAway",
                TarWriter()
                    .Add(With(Member("f", '0'), {{"mtime", "99999999999.5"}, {"atime", "0.1"}}))
                    .Finish(),
                {{"f", "file "}}),
      Refused("HardLinkToADirectory", TarWriter().Dir("d").HardLink("h", "d").Finish(),
              Code::kInvalidArgument, "hard link to a directory"),
      Refused("HardLinkToTheRoot", TarWriter().HardLink("h", "/").Finish(),
              Code::kFailedPrecondition, "which this layer does not have"),
      Contained("HardLinkToItself", TarWriter().File("f", "mine").HardLink("f", "./f").Finish(),
                {{"f", "file mine"}}),
      Contained(
          "SparseFileOverALink",
          TarWriter()
              .Symlink("f", p.absolute + "/file")
              .Add(With(Member("f", '0'), {{"GNU.sparse.map", ""}, {"GNU.sparse.size", "100"}}))
              .Finish(),
          {{"f", "file " + std::string(100, '\0')}}),
  };
}

// Whatever loads a library, a converter or a program by name after the pivot would get these.
std::vector<HostileLayer> Trojans() {
  std::vector<HostileLayer> all;
  for (const char* path :
       {"lib/libnss_files.so.2", "lib/x86_64-linux-gnu/libnss_files.so.2",
        "usr/lib64/libnss_dns.so.2", "usr/lib/x86_64-linux-gnu/gconv/gconv-modules",
        "usr/bin/unpigz", "usr/bin/zstd", "bin/xz", "etc/ld.so.preload", "etc/nsswitch.conf",
        "usr/lib/locale/locale-archive"}) {
    const std::string trojan = StrCat("#!/bin/sh\n: > /owned-by-", path, "\n");
    all.push_back(
        Contained(StrCat("Trojan ", path), TarWriter().File(path, trojan, 04755).Finish(),
                  {{path, "file " + trojan}, {"owned-by-" + std::string(path), "missing"}}));
  }
  return all;
}

}  // namespace

std::vector<HostileLayer> Attacks(const HostilePaths& paths) {
  std::vector<HostileLayer> all = Trojans();
  for (auto* more : {&ParentSwaps, &Whiteouts, &Metadata})
    for (HostileLayer& layer : more(paths)) all.push_back(std::move(layer));
  return all;
}

}  // namespace berth::image
