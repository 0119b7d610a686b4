// SPDX-License-Identifier: Apache-2.0
// Prints what of a CRI descriptor matters on the wire, one line a thing, sorted; without an argument that of the code
// berthd is built from, else that of a file which `protoc --descriptor_set_out` wrote. The integration suite compares.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <cstdio>
#include <fstream>
#include <set>
#include <string>

#include "cri.pb.h"

namespace {

namespace pb = google::protobuf;
using Lines = std::set<std::string>;

// Without the package, so that v1 and v1alpha2 can be compared.
std::string Short(const std::string& full_name, const std::string& package) {
  return full_name.substr(package.size() + 1);
}

std::string TypeOf(const pb::FieldDescriptor& field, const std::string& package) {
  if (field.message_type()) return Short(field.message_type()->full_name(), package);
  if (field.enum_type()) return Short(field.enum_type()->full_name(), package);
  return field.type_name();
}

void AddEnum(const pb::EnumDescriptor& type, const std::string& package, Lines* out) {
  for (int i = 0; i < type.value_count(); ++i) {
    out->insert("enum " + Short(type.full_name(), package) + ": " + type.value(i)->name() + " = " +
                std::to_string(type.value(i)->number()));
  }
}

void AddMessage(const pb::Descriptor& type, const std::string& package, Lines* out) {
  const std::string name = Short(type.full_name(), package);
  out->insert("message " + name);
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    const pb::OneofDescriptor* oneof = field.real_containing_oneof();
    out->insert("field " + name + ": " + (field.is_repeated() ? "repeated " : "") +
                TypeOf(field, package) + " " + field.name() + " = " +
                std::to_string(field.number()) + (field.has_optional_keyword() ? " optional" : "") +
                (oneof ? " in oneof " + oneof->name() : ""));
  }
  for (int i = 0; i < type.nested_type_count(); ++i) {
    AddMessage(*type.nested_type(i), package, out);
  }
  for (int i = 0; i < type.enum_type_count(); ++i) AddEnum(*type.enum_type(i), package, out);
}

void AddService(const pb::ServiceDescriptor& service, const std::string& package, Lines* out) {
  for (int i = 0; i < service.method_count(); ++i) {
    const pb::MethodDescriptor& m = *service.method(i);
    out->insert("rpc " + service.name() + "." + m.name() + "(" +
                (m.client_streaming() ? "stream " : "") +
                Short(m.input_type()->full_name(), package) + ") returns (" +
                (m.server_streaming() ? "stream " : "") +
                Short(m.output_type()->full_name(), package) + ")");
  }
}

Lines Describe(const pb::FileDescriptor& file) {
  Lines out;
  const std::string& package = file.package();
  for (int i = 0; i < file.message_type_count(); ++i) {
    AddMessage(*file.message_type(i), package, &out);
  }
  for (int i = 0; i < file.enum_type_count(); ++i) AddEnum(*file.enum_type(i), package, &out);
  for (int i = 0; i < file.service_count(); ++i) AddService(*file.service(i), package, &out);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const pb::FileDescriptor* file = ::runtime::v1::VersionRequest::descriptor()->file();
  pb::DescriptorPool pool;
  if (argc > 1) {
    std::ifstream in(argv[1], std::ios::binary);
    pb::FileDescriptorSet set;
    if (!set.ParseFromIstream(&in)) {
      std::fprintf(stderr, "%s: not a descriptor set\n", argv[1]);
      return 1;
    }
    file = nullptr;
    for (const pb::FileDescriptorProto& one : set.file()) {
      const pb::FileDescriptor* built = pool.BuildFile(one);
      if (built && built->package().starts_with("runtime.v1")) file = built;
    }
    if (!file) {
      std::fprintf(stderr, "%s: no package runtime.v1... in it\n", argv[1]);
      return 1;
    }
  }
  for (const std::string& line : Describe(*file)) std::puts(line.c_str());
  return 0;
}
