// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_record.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "base/wire.h"
#include "oci/cni.h"

namespace berth::runtime {

namespace {

constexpr std::string_view kMagic = "berth-cni";
constexpr uint32_t kVersion = 2;
constexpr uint32_t kWithoutPrograms = 1;  // still read
constexpr size_t kMaxRecordBytes = 8U << 20;

std::string ResultName(const std::string& id) { return StrCat(id, ".result"); }
std::string PartialName(const std::string& id) { return StrCat(id, ".partial"); }

void WritePod(wire::Writer& out, const PodNetwork& pod) {
  out.Text(pod.sandbox_id);
  out.Text(pod.pod_name);
  out.Text(pod.pod_namespace);
  out.Text(pod.pod_uid);
  out.Text(pod.cgroup_parent);
  out.U32(static_cast<uint32_t>(pod.port_mappings.size()));
  for (const PortMapping& port : pod.port_mappings) {
    out.Text(port.protocol);
    out.I64(port.container_port);
    out.I64(port.host_port);
    out.Text(port.host_ip);
  }
  out.Texts(pod.dns_servers);
  out.Texts(pod.dns_searches);
  out.Texts(pod.dns_options);
  out.U32(static_cast<uint32_t>(pod.annotations.size()));
  for (const auto& [key, value] : pod.annotations) {
    out.Text(key);
    out.Text(value);
  }
}

Result<PodNetwork> ReadPod(wire::Reader& in) {
  PodNetwork pod;
  pod.sandbox_id = TRY(in.Text());
  pod.pod_name = TRY(in.Text());
  pod.pod_namespace = TRY(in.Text());
  pod.pod_uid = TRY(in.Text());
  pod.cgroup_parent = TRY(in.Text());
  // No reserve: the count is not to be believed before the entries have been read.
  for (uint32_t left = TRY(in.U32()); left > 0; --left) {
    PortMapping port;
    port.protocol = TRY(in.Text());
    port.container_port = static_cast<int32_t>(TRY(in.I64()));
    port.host_port = static_cast<int32_t>(TRY(in.I64()));
    port.host_ip = TRY(in.Text());
    pod.port_mappings.push_back(std::move(port));
  }
  pod.dns_servers = TRY(in.Texts());
  pod.dns_searches = TRY(in.Texts());
  pod.dns_options = TRY(in.Texts());
  for (uint32_t left = TRY(in.U32()); left > 0; --left) {
    std::string key = TRY(in.Text());
    pod.annotations[std::move(key)] = TRY(in.Text());
  }
  return pod;
}

Result<CniRecord> ReadRecord(wire::Reader& in) {
  const std::string magic = TRY(in.Text(), "magic");
  if (magic != kMagic) return Error(Code::kDataLoss, "not a record of an attachment");
  const uint32_t version = TRY(in.U32(), "version");
  if (version != kVersion && version != kWithoutPrograms)
    return Error(Code::kDataLoss, StrCat("record version ", version, " is not known"));
  CniRecord record;
  record.pod = TRY(ReadPod(in));
  record.netns = TRY(in.Text());
  record.ifname = TRY(in.Text());
  record.config = TRY(in.Text(oci::kMaxCniConfigBytes));
  record.config_file = TRY(in.Text());
  record.is_default = TRY(in.Bool());
  if (version != kWithoutPrograms) record.programs = TRY(in.Texts());
  TRY(in.End());
  return record;
}

}  // namespace

std::string EncodeCniRecord(const CniRecord& record) {
  wire::Writer out;
  out.Text(kMagic);
  out.U32(kVersion);
  WritePod(out, record.pod);
  out.Text(record.netns);
  out.Text(record.ifname);
  out.Text(record.config);
  out.Text(record.config_file);
  out.Bool(record.is_default);
  out.Texts(record.programs);
  return out.Take();
}

Result<CniRecord> DecodeCniRecord(std::string_view bytes) {
  wire::Reader in(bytes);
  Result<CniRecord> record = ReadRecord(in);
  if (!record) return std::move(record.error()).WithCode(Code::kDataLoss);
  return record;
}

Result<> CniRecords::SaveIntent(const CniRecord& record) {
  const std::string& id = record.pod.sandbox_id;
  const std::string bytes = EncodeCniRecord(record);
  // What could not be read back would never be detached.
  if (bytes.size() > kMaxRecordBytes || !DecodeCniRecord(bytes))
    return Error(Code::kInvalidArgument, StrCat("cni record ", id, ": too large"));
  TRY(RemoveResults(id));
  TRY(dir_.WriteFile(id, bytes, 0600, os::Durability::kDurable), "cni record");
  return Ok();
}

Result<> CniRecords::SavePartial(const std::string& sandbox_id, const std::string& result_json) {
  TRY(dir_.WriteFile(PartialName(sandbox_id), result_json, 0600), "cni result");
  return Ok();
}

Result<> CniRecords::Complete(const std::string& sandbox_id) {
  TRY(dir_.Rename(PartialName(sandbox_id), ResultName(sandbox_id), true), "cni result");
  return Ok();
}

Result<> CniRecords::RemoveResults(const std::string& sandbox_id) const {
  TRY(dir_.RemoveFile(PartialName(sandbox_id)), "cni result");
  TRY(dir_.RemoveFile(ResultName(sandbox_id)), "cni result");
  return Ok();
}

Result<CniRecord> CniRecords::Load(const std::string& sandbox_id) const {
  const std::string bytes = TRY(dir_.ReadFile(sandbox_id, kMaxRecordBytes), "cni record");
  CniRecord record = TRY(DecodeCniRecord(bytes), StrCat("cni record ", sandbox_id));
  if (record.pod.sandbox_id != sandbox_id)
    return Error(Code::kDataLoss, StrCat("cni record ", sandbox_id, ": it is another pod's"));
  return record;
}

Result<bool> CniRecords::Exists(const std::string& sandbox_id) const {
  return dir_.Exists(sandbox_id);
}

Result<std::optional<std::string>> CniRecords::LoadResult(const std::string& sandbox_id,
                                                          bool or_partial) const {
  Result<std::string> text = dir_.ReadFile(ResultName(sandbox_id), oci::kMaxCniResultBytes);
  if (!text && text.error().code() == Code::kNotFound && or_partial)
    text = dir_.ReadFile(PartialName(sandbox_id), oci::kMaxCniResultBytes);
  if (!text && text.error().code() == Code::kNotFound) return std::optional<std::string>();
  if (!text) return std::move(text.error()).Wrap("cni result");
  if (Result<oci::CniResult> parsed = oci::ParseCniResult(*text, "1.0.0"); !parsed) {
    LogWarn(StrCat("cni result of pod ", sandbox_id,
                   " is unusable and left out: ", parsed.error().message()));
    return std::optional<std::string>();
  }
  return std::optional<std::string>(std::move(*text));
}

Result<> CniRecords::Remove(const std::string& sandbox_id) {
  // The intent last: while it is there, DEL is still owed.
  TRY(RemoveResults(sandbox_id));
  TRY(dir_.RemoveFile(sandbox_id), "cni record");
  return Ok();
}

Result<> CniRecords::SetAside(const std::string& sandbox_id) {
  TRY(dir_.Rename(sandbox_id, StrCat(sandbox_id, ".bad"), true), "set aside cni record");
  return RemoveResults(sandbox_id);
}

Result<std::vector<std::string>> CniRecords::List() const {
  std::vector<std::string> names = TRY(dir_.List(), "cni records");
  std::erase_if(names, [](const std::string& name) { return !IsValidId(name); });
  std::sort(names.begin(), names.end());
  return names;
}

Result<> CniRecords::RemoveTemporaries() const {
  for (const std::string& name : TRY(dir_.List(), "cni records"))
    if (name.starts_with(".berth-tmp-")) TRY(dir_.RemoveFile(name), "cni records");
  return Ok();
}

}  // namespace berth::runtime
