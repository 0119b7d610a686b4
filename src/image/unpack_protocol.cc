// SPDX-License-Identifier: Apache-2.0
#include "image/unpack_protocol.h"

#include <limits>
#include <optional>

#include "base/strings.h"
#include "base/wire.h"
#include "oci/digest.h"

namespace berth::image {

namespace {

constexpr size_t kMaxPath = 4096;
constexpr size_t kMaxGroups = 65536;

Result<uint32_t> Id(wire::Reader& in) {
  const uint32_t id = TRY(in.U32());
  if (id > static_cast<uint32_t>(std::numeric_limits<int32_t>::max()))
    return Error(Code::kInvalidArgument, "id is out of range");
  return id;
}

void PutOptional(wire::Writer& out, const std::optional<int64_t>& value) {
  out.Bool(value.has_value());
  out.I64(value.value_or(0));
}

Result<std::optional<int64_t>> GetOptional(wire::Reader& in) {
  const bool has = TRY(in.Bool());
  const int64_t value = TRY(in.I64());
  return has ? std::optional<int64_t>(value) : std::nullopt;
}

bool IsCleanPath(std::string_view path) {
  if (path.empty() || path.find('\0') != std::string_view::npos) return false;
  for (std::string_view part : Split(path, '/'))
    if (part.empty() || part == "." || part == "..") return false;
  return true;
}

}  // namespace

std::string EncodeLayerResult(const LayerResult& result) {
  wire::Writer out;
  out.Text(result.diff_id);
  out.U64(result.bytes);
  out.U64(result.inodes);
  out.U64(result.tree_sum.entries);
  out.U64(result.tree_sum.root);
  out.Bool(result.opaque_root);
  out.Bool(result.described_root);
  out.Texts(result.implied_dirs);
  return out.Take();
}

Result<LayerResult> DecodeLayerResult(std::string_view bytes) {
  wire::Reader in(bytes);
  LayerResult result;
  result.diff_id = TRY(in.Text(oci::Digest::kHexSize));
  TRY(oci::Digest::FromHex(result.diff_id));
  result.bytes = TRY(in.U64());
  result.inodes = TRY(in.U64());
  result.tree_sum.entries = TRY(in.U64());
  result.tree_sum.root = TRY(in.U64());
  constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (result.bytes > kMax || result.inodes > kMax)
    return Error(Code::kInvalidArgument, "layer result: size is out of range");
  result.opaque_root = TRY(in.Bool());
  result.described_root = TRY(in.Bool());
  result.implied_dirs = TRY(in.Texts(kMaxImpliedDirs, kMaxPath));
  for (const std::string& dir : result.implied_dirs)
    if (!IsCleanPath(dir)) return Error(Code::kInvalidArgument, "layer result: bad path");
  TRY(in.End());
  return result;
}

std::string EncodeTreeSum(const TreeSum& sum) {
  wire::Writer out;
  out.U64(sum.entries);
  out.U64(sum.root);
  return out.Take();
}

Result<TreeSum> DecodeTreeSum(std::string_view bytes) {
  wire::Reader in(bytes);
  TreeSum sum;
  sum.entries = TRY(in.U64());
  sum.root = TRY(in.U64());
  TRY(in.End());
  return sum;
}

std::string EncodeUserQuery(const UserQuery& query) {
  wire::Writer out;
  out.Text(query.user);
  PutOptional(out, query.uid);
  out.Bool(query.username.has_value());
  out.Text(query.username.value_or(""));
  PutOptional(out, query.gid);
  out.U32(static_cast<uint32_t>(query.supplemental_groups.size()));
  for (int64_t group : query.supplemental_groups) out.I64(group);
  out.Bool(query.strict_groups);
  return out.Take();
}

Result<UserQuery> DecodeUserQuery(std::string_view bytes) {
  wire::Reader in(bytes);
  UserQuery query;
  query.user = TRY(in.Text());
  query.uid = TRY(GetOptional(in));
  const bool has_name = TRY(in.Bool());
  std::string name = TRY(in.Text());
  if (has_name) query.username = std::move(name);
  query.gid = TRY(GetOptional(in));
  const uint32_t count = TRY(in.U32());
  if (count > kMaxGroups) return Error(Code::kInvalidArgument, "too many groups");
  for (uint32_t i = 0; i < count; ++i) query.supplemental_groups.push_back(TRY(in.I64()));
  query.strict_groups = TRY(in.Bool());
  TRY(in.End());
  return query;
}

std::string EncodeUser(const ResolvedUser& user) {
  wire::Writer out;
  out.U32(user.uid);
  out.U32(user.gid);
  out.U32(static_cast<uint32_t>(user.additional_gids.size()));
  for (uint32_t gid : user.additional_gids) out.U32(gid);
  out.Text(user.username);
  out.Text(user.home);
  return out.Take();
}

Result<ResolvedUser> DecodeUser(std::string_view bytes) {
  wire::Reader in(bytes);
  ResolvedUser user;
  user.uid = TRY(Id(in));
  user.gid = TRY(Id(in));
  const uint32_t count = TRY(in.U32());
  if (count > kMaxGroups) return Error(Code::kInvalidArgument, "too many groups");
  for (uint32_t i = 0; i < count; ++i) user.additional_gids.push_back(TRY(Id(in)));
  user.username = TRY(in.Text(kMaxPath));
  user.home = TRY(in.Text(kMaxPath));
  for (const std::string* text : {&user.username, &user.home})
    for (char c : *text)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == ':')
        return Error(Code::kInvalidArgument, "user: control character or colon");
  if (!user.home.starts_with('/'))
    return Error(Code::kInvalidArgument, "user: home is not absolute");
  TRY(in.End());
  return user;
}

std::string EncodeSuccess(std::string_view payload) {
  wire::Writer out;
  out.Bool(true);
  return StrCat(out.bytes(), payload);
}

std::string EncodeFailure(const Error& error) {
  wire::Writer out;
  out.Bool(false);
  out.U32(static_cast<uint32_t>(error.code()));
  out.Text(std::string_view(error.message()).substr(0, 4096));
  return out.Take();
}

Result<std::string> DecodeOutcome(std::string_view bytes) {
  if (bytes.empty()) return Error(Code::kInternal, "berth-unpack: ended without a result");
  wire::Reader in(bytes);
  Result<bool> success = in.Bool();
  if (!success) return Error(Code::kInternal, "berth-unpack: result is no message");
  if (*success) return std::string(bytes.substr(1));
  Result<uint32_t> code = in.U32();
  Result<std::string> message = in.Text(4096);
  if (!code || !message || *code == 0 || *code > static_cast<uint32_t>(Code::kUnauthenticated) ||
      !in.End())
    return Error(Code::kInternal, "berth-unpack: result is no message");
  return Error(static_cast<Code>(*code), *message);
}

}  // namespace berth::image
