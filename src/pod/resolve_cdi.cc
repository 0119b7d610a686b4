// SPDX-License-Identifier: Apache-2.0
// The CDI devices that a container asks for: by cdi_devices, and, as kubelets before 1.28 say it, by annotations.
#include "base/strings.h"
#include "oci/cdi.h"
#include "pod/engine_impl.h"

namespace berth::pod {

namespace {

// Type and numbers are the host's node's, where the file does not give them.
Result<> Complete(runtime::Host& host, oci::CdiDeviceNode& edit) {
  if (edit.has_type) return Ok();
  const std::string& path = edit.host_path.empty() ? edit.node.path : edit.host_path;
  std::vector<runtime::HostDevice> found = TRY(host.Devices(path), "device node");
  if (found.size() != 1 || found[0].path != path) {
    return Error(Code::kInvalidArgument, StrCat("device node ", Quote(path), ": not a device"));
  }
  edit.node.type = found[0].type;
  edit.node.major = found[0].major;
  edit.node.minor = found[0].minor;
  if (!edit.node.file_mode) edit.node.file_mode = found[0].mode & 07777;
  return Ok();
}

}  // namespace

Result<> Engine::Impl::AddCdiDevices(const ContainerConfig& request, oci::Spec* spec) {
  std::vector<std::string> names = request.cdi_devices;
  for (std::string& name : TRY(oci::CdiNamesOf(request.annotations))) {
    names.push_back(std::move(name));
  }
  if (names.empty()) return Ok();
  std::vector<oci::CdiFile> files = TRY(d.host.ReadCdiFiles());
  for (oci::CdiEdits& edits : TRY(oci::SelectCdiDevices(files, names))) {
    for (oci::CdiDeviceNode& node : edits.device_nodes) TRY(Complete(d.host, node), "CDI");
    TRY(oci::ApplyCdiEdits(edits, spec));
  }
  return Ok();
}

}  // namespace berth::pod
