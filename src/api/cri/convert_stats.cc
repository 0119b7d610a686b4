// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert_stats.h"

#include "api/cri/convert.h"

namespace berth::api {

namespace {

void ToProto(const os::PressureTimes& in, v1::PsiData* out) {
  out->set_total(in.total_us * 1000);  // CRI: nanoseconds
  out->set_avg10(in.avg10);
  out->set_avg60(in.avg60);
  out->set_avg300(in.avg300);
}

void ToProto(const os::Pressure& in, v1::PsiStats* out) {
  ToProto(in.some, out->mutable_some());
  ToProto(in.full, out->mutable_full());
}

void ToProto(const runtime::Usage& in, v1::CpuUsage* out) {
  const os::CgroupCpu& cpu = *in.group.cpu;
  out->set_timestamp(in.timestamp);
  out->mutable_usage_core_nano_seconds()->set_value(cpu.usage_ns);
  if (in.nano_cores) out->mutable_usage_nano_cores()->set_value(*in.nano_cores);
  if (cpu.pressure) ToProto(*cpu.pressure, out->mutable_psi());
}

void ToProto(const runtime::Usage& in, v1::MemoryUsage* out) {
  const os::CgroupMemory& memory = *in.group.memory;
  out->set_timestamp(in.timestamp);
  out->mutable_working_set_bytes()->set_value(memory.working_set);
  if (memory.limit) {
    const bool room = *memory.limit > memory.working_set;
    out->mutable_available_bytes()->set_value(room ? *memory.limit - memory.working_set : 0);
  }
  out->mutable_usage_bytes()->set_value(memory.usage);
  out->mutable_rss_bytes()->set_value(memory.rss);
  out->mutable_page_faults()->set_value(memory.page_faults);
  out->mutable_major_page_faults()->set_value(memory.major_page_faults);
  if (memory.pressure) ToProto(*memory.pressure, out->mutable_psi());
}

void ToProto(const runtime::Usage& in, v1::SwapUsage* out) {
  const os::CgroupMemory& memory = *in.group.memory;
  out->set_timestamp(in.timestamp);
  out->mutable_swap_usage_bytes()->set_value(*memory.swap);
  if (!memory.swap_limit) return;
  const bool room = *memory.swap_limit > *memory.swap;
  out->mutable_swap_available_bytes()->set_value(room ? *memory.swap_limit - *memory.swap : 0);
}

void ToProto(const runtime::InterfaceUsage& in, v1::NetworkInterfaceUsage* out) {
  out->set_name(in.name);
  out->mutable_rx_bytes()->set_value(in.rx_bytes);
  out->mutable_rx_errors()->set_value(in.rx_errors);
  out->mutable_tx_bytes()->set_value(in.tx_bytes);
  out->mutable_tx_errors()->set_value(in.tx_errors);
}

// The interface that CNI's ADD is given the name of, else the first; the others beside it.
void ToProto(const runtime::NetworkUsage& in, v1::NetworkUsage* out) {
  constexpr std::string_view kDefault = "eth0";
  out->set_timestamp(in.timestamp);
  size_t first = 0;
  for (size_t i = 0; i < in.interfaces.size(); ++i)
    if (in.interfaces[i].name == kDefault) first = i;
  for (size_t i = 0; i < in.interfaces.size(); ++i)
    ToProto(in.interfaces[i],
            i == first ? out->mutable_default_interface() : out->add_interfaces());
}

void ToProto(const pod::Metric& in, const std::vector<std::string>& base, v1::Metric* out) {
  const pod::MetricDescriptor& descriptor = pod::DescriptorOf(in.id);
  out->set_name(descriptor.name);
  // Rule 39: the timestamp stays 0, for the value was read for this call.
  out->set_metric_type(static_cast<v1::MetricType>(descriptor.type));
  for (const std::string& value : base) out->add_label_values(value);
  for (const std::string& value : in.extra_values) out->add_label_values(value);
  out->mutable_value()->set_value(in.value);
}

}  // namespace

pod::ContainerFilter FromProto(const v1::ContainerStatsFilter& in) {
  pod::ContainerFilter filter;
  filter.id = in.id();
  filter.sandbox_id = in.pod_sandbox_id();
  filter.labels = {in.label_selector().begin(), in.label_selector().end()};
  return filter;
}

pod::SandboxFilter FromProto(const v1::PodSandboxStatsFilter& in) {
  pod::SandboxFilter filter;
  filter.id = in.id();
  filter.labels = {in.label_selector().begin(), in.label_selector().end()};
  return filter;
}

void ToProto(const pod::ContainerStats& in, v1::ContainerStats* out) {
  auto* attributes = out->mutable_attributes();
  attributes->set_id(in.id);
  attributes->mutable_metadata()->set_name(in.metadata.name);
  attributes->mutable_metadata()->set_attempt(in.metadata.attempt);
  attributes->mutable_labels()->insert(in.labels.begin(), in.labels.end());
  attributes->mutable_annotations()->insert(in.annotations.begin(), in.annotations.end());
  if (in.files) {
    auto* layer = out->mutable_writable_layer();
    layer->set_timestamp(in.files->timestamp);
    layer->mutable_fs_id()->set_mountpoint(in.files->mountpoint);
    layer->mutable_used_bytes()->set_value(in.files->used_bytes);
    layer->mutable_inodes_used()->set_value(in.files->inodes);
  }
  if (!in.usage) return;
  const os::CgroupUsage& group = in.usage->group;
  if (group.cpu) ToProto(*in.usage, out->mutable_cpu());
  if (group.memory) ToProto(*in.usage, out->mutable_memory());
  if (group.memory && group.memory->swap) ToProto(*in.usage, out->mutable_swap());
  if (!group.io_pressure) return;
  out->mutable_io()->set_timestamp(in.usage->timestamp);
  ToProto(*group.io_pressure, out->mutable_io()->mutable_psi());
}

void ToProto(const pod::SandboxStats& in, v1::PodSandboxStats* out) {
  auto* attributes = out->mutable_attributes();
  attributes->set_id(in.id);
  ToProto(in.metadata, attributes->mutable_metadata());
  attributes->mutable_labels()->insert(in.labels.begin(), in.labels.end());
  attributes->mutable_annotations()->insert(in.annotations.begin(), in.annotations.end());
  auto* pod = out->mutable_linux();
  for (const pod::ContainerStats& container : in.containers)
    ToProto(container, pod->add_containers());
  if (in.network) ToProto(*in.network, pod->mutable_network());
  if (!in.usage) return;
  const os::CgroupUsage& group = in.usage->group;
  if (group.cpu) ToProto(*in.usage, pod->mutable_cpu());
  if (group.memory) ToProto(*in.usage, pod->mutable_memory());
  if (group.tasks) {
    pod->mutable_process()->set_timestamp(in.usage->timestamp);
    pod->mutable_process()->mutable_process_count()->set_value(*group.tasks);
  }
  if (!group.io_pressure) return;
  pod->mutable_io()->set_timestamp(in.usage->timestamp);
  ToProto(*group.io_pressure, pod->mutable_io()->mutable_psi());
}

void ToProto(const pod::MetricDescriptor& in, v1::MetricDescriptor* out) {
  out->set_name(in.name);
  out->set_help(in.help);
  for (const std::string& key : pod::BaseMetricLabels()) out->add_label_keys(key);
  for (const std::string& key : in.extra_labels) out->add_label_keys(key);
}

void ToProto(const pod::SandboxMetrics& in, v1::PodSandboxMetrics* out) {
  out->set_pod_sandbox_id(in.pod.id);
  for (const pod::Metric& metric : in.pod.metrics)
    ToProto(metric, in.pod.base_values, out->add_metrics());
  for (const pod::MetricSet& container : in.containers) {
    auto* metrics = out->add_container_metrics();
    metrics->set_container_id(container.id);
    for (const pod::Metric& metric : container.metrics)
      ToProto(metric, container.base_values, metrics->add_metrics());
  }
}

}  // namespace berth::api
