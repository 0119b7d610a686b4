// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_template.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/log.h"
#include "base/strings.h"
#include "oci/cni.h"
#include "os/dir_fd.h"

namespace berth::runtime {

namespace {

constexpr size_t kMaxCidrs = 16;
constexpr const char* kOutput = "10-berth-net.conflist";

Error Invalid(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

struct Loop {
  std::string index_name, value_name;
  size_t index = 0;
  std::string value;
};

class Filler {
 public:
  Filler(std::string_view text, const std::vector<std::string>& cidrs)
      : rest_(text), cidrs_(cidrs) {}

  Result<std::string> Run() {
    std::string out;
    TRY(Block(nullptr, true, out, /*top=*/true));
    return out;
  }

 private:
  // The next action, its text before it appended to `out`; none: the end of the template.
  Result<std::optional<std::string>> Next(bool emit, std::string& out) {
    size_t open = rest_.find("{{");
    if (emit) out += rest_.substr(0, open);
    if (open == std::string_view::npos) {
      rest_ = {};
      return std::optional<std::string>();
    }
    size_t close = rest_.find("}}", open);
    if (close == std::string_view::npos) return Invalid("\"{{\" without \"}}\"");
    std::string action(TrimSpace(rest_.substr(open + 2, close - open - 2)));
    rest_.remove_prefix(close + 2);
    return std::optional(std::move(action));
  }

  // Up to the "end" of the block, or of the template. `out` is left alone where `emit` is false.
  Result<> Block(const Loop* loop, bool emit, std::string& out, bool top) {
    for (;;) {
      std::optional<std::string> action = TRY(Next(emit, out));
      if (!action) return top ? Ok() : Result<>(Invalid("\"end\" is missing"));
      if (*action == "end") return top ? Result<>(Invalid("\"end\" of nothing")) : Ok();
      TRY(Act(*action, loop, emit, out));
    }
  }

  Result<> Act(const std::string& action, const Loop* loop, bool emit, std::string& out) {
    if (action == ".PodCIDR") {
      if (emit) out += cidrs_.front();
      return Ok();
    }
    if (loop != nullptr && action == loop->value_name) {
      if (emit) out += loop->value;
      return Ok();
    }
    if (loop != nullptr && action == StrCat("if ", loop->index_name)) {
      return Block(loop, emit && loop->index > 0, out, false);
    }
    if (loop == nullptr && action.starts_with("range ")) return Range(action, out);
    return Invalid(StrCat("{{", action, "}} is not supported here"));
  }

  // range $i, $r := .Routes
  Result<> Range(const std::string& action, std::string& out) {
    std::vector<std::string> words;
    for (std::string_view word : Split(action, ' ')) {
      if (!word.empty()) words.emplace_back(word);
    }
    bool shape = words.size() == 5 && words[1].ends_with(',') && words[1].size() > 2 &&
                 words[1][0] == '$' && words[2].size() > 1 && words[2][0] == '$' &&
                 words[3] == ":=";
    if (!shape) return Invalid(StrCat("{{", action, "}} is not supported"));
    std::vector<std::string> values;
    if (words[4] == ".PodCIDRRanges") {
      values = cidrs_;
    } else if (words[4] == ".Routes") {
      values = Routes();
    } else {
      return Invalid(StrCat("{{", action, "}}: there is no list ", words[4]));
    }
    const std::string_view body = rest_;
    for (size_t i = 0; i < values.size(); ++i) {
      rest_ = body;
      Loop loop{words[1].substr(0, words[1].size() - 1), words[2], i, values[i]};
      TRY(Block(&loop, true, out, false));
    }
    return Ok();
  }

  std::vector<std::string> Routes() const {
    std::vector<std::string> out;
    for (const std::string& cidr : cidrs_) {
      const char* all = cidr.find(':') == std::string::npos ? "0.0.0.0/0" : "::/0";
      if (std::find(out.begin(), out.end(), all) == out.end()) out.emplace_back(all);
    }
    return out;
  }

  std::string_view rest_;
  const std::vector<std::string>& cidrs_;
};

}  // namespace

Result<std::string> FillCniTemplate(std::string_view text, const std::vector<std::string>& cidrs) {
  if (cidrs.empty()) return Invalid("no pod CIDR");
  return Filler(text, cidrs).Run();
}

Result<std::vector<std::string>> ParsePodCidrs(std::string_view text) {
  std::vector<std::string> out;
  for (std::string_view part : Split(text, ',')) {
    std::string_view cidr = TrimSpace(part);
    size_t slash = cidr.find('/');
    std::string address(cidr.substr(0, slash));
    bool v6 = address.find(':') != std::string::npos;
    std::array<unsigned char, 16> bytes{};
    bool good = slash != std::string_view::npos &&
                ::inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) == 1 &&
                ParseInt(cidr.substr(slash + 1), 0, v6 ? 128 : 32, "prefix");
    if (!good) return Invalid(StrCat("pod_cidr: ", Quote(cidr, 64), " is not a CIDR"));
    if (out.size() == kMaxCidrs) return Invalid(StrCat("pod_cidr: more than ", kMaxCidrs));
    out.emplace_back(cidr);
  }
  return out;
}

Result<> CniTemplate::SetPodCidr(const std::string& cidrs) {
  if (TrimSpace(cidrs).empty()) return Ok();
  std::vector<std::string> list = TRY(ParsePodCidrs(cidrs));
  auto wrong = [&](Error error) {
    return std::move(error)
        .Wrap(StrCat("CNI template ", file_))
        .WithCode(Code::kFailedPrecondition);
  };
  const size_t slash = file_.rfind('/');
  Result<os::DirFd> dir = os::DirFd::OpenTrusted(slash == 0 ? "/" : file_.substr(0, slash));
  if (!dir) return wrong(std::move(dir.error()));
  Result<std::string> text = dir->ReadFile(file_.substr(slash + 1), oci::kMaxCniConfigBytes);
  if (!text) return wrong(std::move(text.error()));
  Result<std::string> filled = FillCniTemplate(*text, list);
  if (!filled) return wrong(std::move(filled.error()));
  // What a pod could not be attached with must not replace what works.
  if (Result<oci::NetworkConfigList> parsed = oci::ParseNetworkConfig(*filled); !parsed) {
    return wrong(std::move(parsed.error()));
  }
  std::lock_guard<std::mutex> one(writing_);
  os::DirFd out = TRY(os::DirFd::MakeTrusted(conf_dir_, 0755), "CNI configuration");
  Result<std::string> old = out.ReadFile(kOutput, oci::kMaxCniConfigBytes);
  if (old && *old == *filled) return Ok();
  TRY(out.WriteFile(kOutput, *filled, 0644), StrCat("CNI configuration in ", conf_dir_));
  LogInfo(StrCat("pod CIDR ", cidrs, ": wrote ", conf_dir_, "/", kOutput));
  return Ok();
}

}  // namespace berth::runtime
