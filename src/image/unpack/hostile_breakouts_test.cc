// SPDX-License-Identifier: Apache-2.0
// Layers that try to leave their directory, one for each case of containerd's TestBreakouts.
#include "image/unpack/hostile_layers.h"
#include "tests/support/tar_writer.h"

namespace berth::image {

using berth::testing::TarMember;
using berth::testing::TarWriter;

HostileLayer Refused(std::string name, std::string stream, Code code, std::string message) {
  return {std::move(name), std::move(stream), code, std::move(message), {}};
}

HostileLayer Contained(std::string name, std::string stream,
                       std::vector<std::pair<std::string, std::string>> tree) {
  return {std::move(name), std::move(stream), Code::kUnknown, "", std::move(tree)};
}

namespace {

constexpr char kMissing[] = "which this layer does not have";

std::vector<HostileLayer> SymlinkBreakouts(const HostilePaths& p) {
  const std::string& in = p.inside;
  return {
      Contained("SymlinkAbsolute",
                TarWriter().Symlink("out", p.absolute).File("out/file", "bad").Finish(),
                {{"out", "link " + p.absolute}, {in + "/file", "file bad"}}),
      Contained("SymlinkUpAndOut",
                TarWriter().Symlink("out", p.up).File("out/file", "bad").Finish(),
                {{"out", "link " + p.up}, {in + "/file", "file bad"}}),
      Contained(
          "SymlinkMultipleAbsolute",
          TarWriter().Symlink("a", p.absolute).Symlink("b", "/a").File("b/new", "bad").Finish(),
          {{in + "/new", "file bad"}}),
      Contained("SymlinkMultipleRelative",
                TarWriter().Symlink("a", p.up).Symlink("b", "a").File("b/new", "bad").Finish(),
                {{in + "/new", "file bad"}}),
      Contained("SymlinkEmptyFile",
                TarWriter().Symlink("empty", p.absolute + "/file").File("empty", "").Finish(),
                {{"empty", "file "}}),
      Contained("SymlinkParentDirectory",
                TarWriter().Dir("d").Symlink("d/up", "..").File("d/up/made", "x").Finish(),
                {{"made", "file x"}}),
      Refused("SymlinkEmptyFilename", TarWriter().Symlink("", p.absolute).Finish(), Code::kDataLoss,
              "entry without a name"),
      Contained("SymlinkParentRelative",
                TarWriter().Dir("d").Symlink("d/l", "../../../..").File("d/l/made", "x").Finish(),
                {{"made", "file x"}}),
      Contained("SymlinkSlashEnded",
                TarWriter().Symlink("out", p.absolute + "/").Dir("out/", 0777).Finish(),
                {{"out", "directory 777"}}),
      Contained("SymlinkOverrideDirectory",
                TarWriter()
                    .Dir("d")
                    .File("d/x", "1")
                    .Symlink("d", p.absolute)
                    .File("d/file", "bad")
                    .Finish(),
                {{"d", "link " + p.absolute}, {in + "/file", "file bad"}}),
      Contained("SymlinkOverrideDirectoryRelative",
                TarWriter().Dir("d").Symlink("d", p.up).File("d/file", "bad").Finish(),
                {{"d", "link " + p.up}, {in + "/file", "file bad"}}),
      Contained("DirectoryOverrideSymlink",
                TarWriter().Symlink("d", p.absolute).Dir("d", 0700).File("d/file", "mine").Finish(),
                {{"d", "directory 700"}, {"d/file", "file mine"}, {in, "missing"}}),
      Contained("DirectoryOverrideSymlinkAndHardlink",
                TarWriter()
                    .Symlink("l", p.absolute)
                    .HardLink("h", "l")
                    .Dir("l")
                    .File("l/file", "mine")
                    .File("h/file", "bad")
                    .Finish(),
                {{"l/file", "file mine"}, {"h", "link " + p.absolute}, {in + "/file", "file bad"}}),
      Contained(
          "SymlinkOverridePath",
          TarWriter().Dir("a").Dir("a/b").Symlink("a", p.absolute).File("a/b/c", "bad").Finish(),
          {{in + "/b/c", "file bad"}}),
  };
}

std::vector<HostileLayer> HardLinkBreakouts(const HostilePaths& p) {
  const std::string& in = p.inside;
  TarMember chmod;
  chmod.name = "h";
  chmod.type = '1';
  chmod.link = "l";
  chmod.mode = 07777;
  chmod.uid = chmod.gid = 1234;
  const auto refused = [&](const char* name, const std::string& target) {
    return Refused(name, TarWriter().Dir("d").HardLink("d/h", target).Finish(),
                   Code::kFailedPrecondition, kMissing);
  };
  return {
      refused("HardlinkRelative", "../canary/file"),
      refused("HardlinkDownAndOut", "d/../../canary/file"),
      refused("HardlinkAbsolute", p.absolute + "/file"),
      refused("HardlinkRelativeLong", p.up + "/file"),
      refused("HardlinkRelativeUpAndOut", "d/../" + p.up + "/file"),
      Refused("HardlinkDirectRelative",
              TarWriter().Symlink("out", p.up).HardLink("h", "out/file").Finish(),
              Code::kFailedPrecondition, kMissing),
      Refused("HardlinkDirectAbsolute",
              TarWriter().Symlink("out", p.absolute).HardLink("h", "out/file").Finish(),
              Code::kFailedPrecondition, kMissing),
      Contained("HardlinkSymlinkBeforeCreateTarget",
                TarWriter()
                    .Symlink("l", p.absolute + "/file")
                    .HardLink("h", "l")
                    .File("h", "mine")
                    .Finish(),
                {{"h", "file mine"}, {"l", "link " + p.absolute + "/file"}, {in, "missing"}}),
      Contained("HardlinkSymlinkRelative",
                TarWriter().Symlink("l", p.up + "/file").HardLink("h", "l").Finish(),
                {{"h", "link " + p.up + "/file"}}),
      Contained("HardlinkSymlinkAbsolute",
                TarWriter().Symlink("l", p.absolute + "/file").HardLink("h", "l").Finish(),
                {{"h", "link " + p.absolute + "/file"}}),
      // CVE-2021-32760: mode and owner of a hard link's header are nobody's.
      Contained("HardlinkSymlinkChmod",
                TarWriter().Symlink("l", p.absolute + "/file").Add(chmod).Finish(),
                {{"h", "link " + p.absolute + "/file"}}),
  };
}

std::vector<HostileLayer> WhiteoutBreakouts(const HostilePaths& p) {
  const std::string& in = p.inside;
  const auto none = [](const char* name, const std::string& file) {
    return Refused(name, TarWriter().File(file, "").Finish(), Code::kInvalidArgument,
                   "whiteout of no name");
  };
  return {
      // CleanPath takes the dots away first: these are whiteouts in the root.
      none("WhiteoutRootParent", "../.wh..."),
      none("WhiteoutParent", "d/.wh..."),
      none("WhiteoutRoot", ".wh."),
      none("WhiteoutCurrentDirectory", "d/.wh.."),
      Contained("WhiteoutSymlink",
                TarWriter().Symlink("out", p.absolute).File(".wh.out", "").Finish(),
                {{"out", "link " + p.absolute}}),
      Contained("WhiteoutSymlinkPath",
                TarWriter().Symlink("out", p.absolute).File("out/.wh.file", "").Finish(),
                {{in + "/file", "whiteout"}}),
      Refused("WhiteoutDirectoryName", TarWriter().Dir(".wh.d").File(".wh.d/file", "bad").Finish(),
              Code::kInvalidArgument, "entry below a whiteout"),
      Contained("WhiteoutDeadSymlinkParent",
                TarWriter().Symlink("dead", "nowhere").File("dead/.wh.file", "").Finish(),
                {{"nowhere/file", "whiteout"}}),
      Contained("WhiteoutRelativePath",
                TarWriter().Dir("d").File("d/../" + p.up + "/.wh.file", "").Finish(),
                {{in + "/file", "whiteout"}}),
  };
}

}  // namespace

std::vector<HostileLayer> Breakouts(const HostilePaths& paths) {
  std::vector<HostileLayer> all = SymlinkBreakouts(paths);
  for (auto* more : {&HardLinkBreakouts, &WhiteoutBreakouts})
    for (HostileLayer& layer : more(paths)) all.push_back(std::move(layer));
  return all;
}

}  // namespace berth::image
