// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/user_database.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>

#include "base/strings.h"

namespace berth::image::unpack {

namespace {

constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX
constexpr size_t kMaxText = 4095;

struct PasswdEntry {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string name;
  std::string home;
};

bool AllDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<uint32_t> IdFrom(std::string_view text, std::string_view what) {
  return static_cast<uint32_t>(TRY(ParseInt(text, 0, kMaxUserId, what)));
}

Result<uint32_t> CheckId(int64_t id, std::string_view what) {
  if (id < 0 || id > kMaxUserId)
    return Error(Code::kInvalidArgument, StrCat(what, " ", id, " is out of range"));
  return static_cast<uint32_t>(id);
}

// Calls `visit` for each line's fields until it returns false. Lines with fewer than N fields are
// not entries, nor are comments; fields after the Nth are dropped.
template <size_t N>
void ForEachEntry(std::string_view text,
                  const std::function<bool(const std::array<std::string_view, N>&)>& visit) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.starts_with('#')) continue;
    std::array<std::string_view, N> fields{};
    size_t count = 0;
    for (; count < N; ++count) {
      const size_t colon = line.find(':');
      fields[count] = line.substr(0, colon);
      if (colon == std::string_view::npos) {
        ++count;
        break;
      }
      line.remove_prefix(colon + 1);
    }
    if (count == N && !visit(fields)) return;
  }
}

// name:password:uid:gid:gecos:home
using PasswdFields = std::array<std::string_view, 6>;
// name:password:gid:members
using GroupFields = std::array<std::string_view, 4>;

// The wanted entry itself must be sound: a default in place of a broken field would be root.
Result<PasswdEntry> Convert(const PasswdFields& fields) {
  PasswdEntry entry;
  Result<uint32_t> uid = IdFrom(fields[2], "uid");
  Result<uint32_t> gid = IdFrom(fields[3], "gid");
  const std::string what = StrCat("/etc/passwd: entry ", Quote(fields[0], 64));
  if (!uid || !gid)
    return Error(Code::kDataLoss, StrCat(what, ": ", (uid ? gid : uid).error().message()));
  if (HasControl(fields[0]) || HasControl(fields[5]) || fields[0].size() > kMaxText ||
      fields[5].size() > kMaxText)
    return Error(Code::kDataLoss, StrCat(what, ": name or home is not usable"));
  entry.uid = *uid;
  entry.gid = *gid;
  entry.name = std::string(fields[0]);
  entry.home = std::string(fields[5]);
  return entry;
}

Result<std::optional<PasswdEntry>> FindUser(
    std::string_view passwd, const std::function<bool(const PasswdFields&)>& wanted) {
  std::optional<Result<PasswdEntry>> found;
  ForEachEntry<6>(passwd, [&](const PasswdFields& fields) {
    if (wanted(fields)) found = Convert(fields);
    return !found.has_value();
  });
  if (!found) return std::optional<PasswdEntry>();
  return std::optional<PasswdEntry>(TRY(std::move(*found)));
}

Result<std::optional<PasswdEntry>> FindByUid(std::string_view passwd, uint32_t uid) {
  return FindUser(passwd, [uid](const PasswdFields& fields) {
    Result<uint32_t> id = IdFrom(fields[2], "uid");
    return id && *id == uid;
  });
}

Result<PasswdEntry> FindByName(std::string_view passwd, std::string_view name) {
  std::optional<PasswdEntry> entry =
      TRY(FindUser(passwd, [name](const PasswdFields& fields) { return fields[0] == name; }));
  if (!entry)
    return Error(Code::kNotFound, StrCat("user ", Quote(name, 64), " is not in the image"));
  return std::move(*entry);
}

Result<uint32_t> FindGroup(std::string_view group, std::string_view name) {
  std::optional<Result<uint32_t>> gid;
  ForEachEntry<4>(group, [&](const GroupFields& fields) {
    if (fields[0] == name) gid = IdFrom(fields[2], "gid");
    return !gid.has_value();
  });
  if (!gid)
    return Error(Code::kNotFound, StrCat("group ", Quote(name, 64), " is not in the image"));
  if (!*gid)
    return Error(Code::kDataLoss,
                 StrCat("/etc/group: entry ", Quote(name, 64), ": ", gid->error().message()));
  return **gid;
}

Result<uint32_t> GroupOf(std::string_view group, std::string_view text) {
  if (AllDigits(text)) return IdFrom(text, "group");
  return FindGroup(group, text);
}

Result<> AddMemberships(std::string_view group, std::string_view name,
                        std::vector<uint32_t>& gids) {
  Result<> done;
  ForEachEntry<4>(group, [&](const GroupFields& fields) {
    const std::vector<std::string_view> members = Split(fields[3], ',');
    if (std::find(members.begin(), members.end(), name) == members.end()) return true;
    Result<uint32_t> gid = IdFrom(fields[2], "gid");
    if (!gid) {
      done = Error(Code::kDataLoss,
                   StrCat("/etc/group: entry ", Quote(fields[0], 64), ": ", gid.error().message()));
      return false;
    }
    gids.push_back(*gid);
    return gids.size() <= kMaxGroups;
  });
  return done;
}

// Who, before any group.
struct Chosen {
  uint32_t uid = 0;
  std::optional<PasswdEntry> entry;
  std::string_view group;  // "" when none was named
};

Result<Chosen> Choose(std::string_view passwd, const UserQuery& query) {
  Chosen chosen;
  if (query.uid) {
    chosen.uid = TRY(CheckId(*query.uid, "user"));
    chosen.entry = TRY(FindByUid(passwd, chosen.uid));
    return chosen;
  }
  std::string_view user = query.user;
  if (query.username) {
    if (query.username->empty() || query.username->find(':') != std::string::npos)
      return Error(Code::kInvalidArgument, StrCat("user name ", Quote(*query.username, 64)));
    chosen.entry = TRY(FindByName(passwd, *query.username));
    chosen.uid = chosen.entry->uid;
    return chosen;
  }
  const size_t colon = user.find(':');
  if (colon != std::string_view::npos) {
    chosen.group = user.substr(colon + 1);
    user = user.substr(0, colon);
    if (user.empty() || chosen.group.empty() || chosen.group.find(':') != std::string_view::npos)
      return Error(Code::kInvalidArgument, StrCat("user ", Quote(query.user, 64)));
  }
  if (user.empty() || AllDigits(user)) {
    if (!user.empty()) chosen.uid = TRY(IdFrom(user, "user"));
    chosen.entry = TRY(FindByUid(passwd, chosen.uid));
  } else {
    chosen.entry = TRY(FindByName(passwd, user));
    chosen.uid = chosen.entry->uid;
  }
  return chosen;
}

void Deduplicate(std::vector<uint32_t>& gids) {
  std::vector<uint32_t> seen;
  std::erase_if(gids, [&](uint32_t gid) {
    const auto at = std::lower_bound(seen.begin(), seen.end(), gid);
    if (at != seen.end() && *at == gid) return true;
    seen.insert(at, gid);
    return false;
  });
}

}  // namespace

Result<ResolvedUser> ResolveUser(std::string_view passwd, std::string_view group,
                                 const UserQuery& query) {
  const Chosen chosen = TRY(Choose(passwd, query));
  ResolvedUser user;
  user.uid = chosen.uid;
  if (chosen.entry) {
    user.gid = chosen.entry->gid;
    user.username = chosen.entry->name;
    if (chosen.entry->home.starts_with('/')) user.home = chosen.entry->home;
  }
  if (!chosen.group.empty()) user.gid = TRY(GroupOf(group, chosen.group));
  if (query.gid) user.gid = TRY(CheckId(*query.gid, "group"));
  user.additional_gids.push_back(user.gid);
  if (!query.strict_groups && !user.username.empty())
    TRY(AddMemberships(group, user.username, user.additional_gids));
  for (int64_t gid : query.supplemental_groups)
    user.additional_gids.push_back(TRY(CheckId(gid, "supplemental group")));
  Deduplicate(user.additional_gids);
  if (user.additional_gids.size() > kMaxGroups)
    return Error(Code::kInvalidArgument, "too many groups");
  return user;
}

}  // namespace berth::image::unpack
