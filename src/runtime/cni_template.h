// SPDX-License-Identifier: Apache-2.0
// CNI configuration made from a template and the node's pod CIDRs, which the kubelet tells by UpdateRuntimeConfig
// when they change. The template is containerd's conf_template, so that an operator keeps his file. Of
// Go's template language it may use what such files use, anything else is an error:
//   {{.PodCIDR}}                                              the first CIDR
//   {{range $i, $r := .PodCIDRRanges}} ... {{end}}            every CIDR, $i from 0; not nested
//   {{range $i, $r := .Routes}} ... {{end}}                   0.0.0.0/0 and ::/0, of the families there are
//   {{$r}}, {{if $i}} ... {{end}} inside of it                if: not the first
// Owned by the daemon; any thread.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::runtime {

// Pure. InvalidArgument naming the construct.
Result<std::string> FillCniTemplate(std::string_view text, const std::vector<std::string>& cidrs);

// "10.1.0.0/24,fd00::/64": InvalidArgument for what is no CIDR, and for more than 16.
Result<std::vector<std::string>> ParsePodCidrs(std::string_view text);

class CniTemplate {
 public:
  CniTemplate(std::string template_file, std::string conf_dir)
      : file_(std::move(template_file)), conf_dir_(std::move(conf_dir)) {}

  // Writes <conf dir>/10-berth-net.conflist if that changes it. Empty: nothing to do. InvalidArgument for bad
  // CIDRs, FailedPrecondition naming the template for what is wrong with it; nothing is written then.
  Result<> SetPodCidr(const std::string& cidrs);

 private:
  const std::string file_;
  const std::string conf_dir_;
  std::mutex writing_;
};

}  // namespace berth::runtime
