// SPDX-License-Identifier: Apache-2.0
#include "oci/json.h"

#include "base/strings.h"
#include "oci/json_internal.h"
#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

std::string Repeat(std::string_view piece, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += piece;
  return out;
}

TEST(JsonTest, RefusesBadTextBeforeBuilding) {
  struct Bad {
    std::string text;
    const char* fragment;
  };
  const Bad table[] = {
      {"", "doc: empty"},
      {" \n", "doc: empty"},
      {"{", "not valid JSON near byte"},
      {"{} {}", "not valid JSON near byte"},
      {"{\"a\":1,}", "not valid JSON near byte"},
      {"nul", "not valid JSON"},
      {"// x\n{}", "not valid JSON"},
      {"{\"a\":NaN}", "not valid JSON"},
      {"{\"a\":1e999}", "not valid JSON"},
      {"\"\xff\"", "not valid JSON"},
      {"\"\xc0\x80\"", "not valid JSON"},
      {"\"\xed\xa0\x80\"", "not valid JSON"},
      {"\"\\ud800\"", "not valid JSON"},
      {std::string("{}\0", 3), "contains a NUL byte"},
      {std::string("{}\0{}", 5), "contains a NUL byte"},
      {"\xef\xbb\xbf{}", "byte order mark"},
      {"{\"a\":\"x\\u0000y\"}", "U+0000"},
      {"{\"x\\u0000y\":1}", "U+0000"},
      {R"({"a":1,"a":2})", "key \"a\" appears twice"},
      {R"({"a":1,"\u0061":2})", "key \"a\" appears twice"},
      {R"([{"x":{"b":{},"b":[]}}])", "key \"b\" appears twice"},
      {Repeat("[", 65) + Repeat("]", 65), "nested deeper than 64"},
      {Repeat("[", 1000000), "nested deeper than 64"},
      {Repeat("{\"a\":", 10000) + "1" + Repeat("}", 10000), "nested deeper than 64"},
      {"[" + Repeat("0,", 300000) + "0]", "more than 262144 values"},
      {"\"" + std::string(5u << 20, 'x') + "\"", "larger than 4194304 bytes"},
  };
  for (const Bad& bad : table) {
    SCOPED_TRACE(Quote(bad.text, 60));
    EXPECT_FAILS(CheckJson(bad.text, {}, "doc"), Code::kInvalidArgument, bad.fragment);
    EXPECT_FAILS(ParseJson(bad.text, {}, "doc"), Code::kInvalidArgument, bad.fragment);
  }
}

TEST(JsonTest, AcceptsTheLimitsThemselves) {
  EXPECT_TRUE(CheckJson(Repeat("[", 64) + Repeat("]", 64), {}, "doc"));
  EXPECT_TRUE(CheckJson(R"([{"a":1},{"a":2}])", {}, "doc"));
  JsonLimits lax{.duplicate_keys = DuplicateKeys::kLastWins};
  EXPECT_TRUE(CheckJson(R"({"a":1,"a":2})", lax, "doc"));
}

TEST(JsonReaderTest, ErrorsNameThePlace) {
  Json tree = Json::parse(R"({"a":{"b":[1,"x",null]},"n":null,"e":"","big":18446744073709551615,
      "f":1.5,"m":{"k":1},"odd key":{"\n":true}})");
  JsonReader root(tree);
  auto fails = [](const auto& result, const char* message) {
    EXPECT_FAILS(result, Code::kInvalidArgument, message);
  };
  auto b = root.Required("a")->Required("b");
  fails(b->Strings(8), "a.b[0]: not a string");
  fails(b->Elements(2), "a.b: more than 2 elements");
  fails(b->Required("x"), "a.b: not an object");
  fails(root.Required("none"), "none: missing");
  fails(root.Required("n"), "n: is null");
  fails(root.RequiredString("e"), "e: empty");
  fails(root.Required("big")->Int(0, 5), "big: number out of range");
  fails(root.Required("f")->Int(0, 5), "f: not a whole number");
  fails((*b->Elements(8))[0].Int(2, 5), "a.b[0]: number out of range: 1 is not from 2 to 5");
  fails(root.OptionalStringMap("m", 8), "m.k: not a string");
  fails(root.OptionalStringMap("m", 0), "m: more than 0 members");
  fails(root.Required("a")->Elements(1), "a: not an array");
  fails(root.Required("a")->Bool(), "a: not true or false");
  fails(root.Required("odd key")->StringMap(8), "\"odd key\".\"\\n\": not a string");
  EXPECT_EQ(*root.OptionalString("n"), "");
  EXPECT_FALSE(root.Optional("n")->has_value());
}

TEST(JsonTest, DumpRefusesTextThatIsNotUtf8) {
  EXPECT_FAILS(DumpJson(Json{{"a", "\xff"}}, "input"), Code::kInvalidArgument,
               "input: a string is not valid UTF-8");
}

}  // namespace
}  // namespace berth::oci
