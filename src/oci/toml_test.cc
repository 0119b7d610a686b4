// SPDX-License-Identifier: Apache-2.0
#include "oci/toml.h"

#include <string>

#include "oci/testing/expect_error.h"

namespace berth::oci {
namespace {

constexpr const char* kOutside = "a character that is not ASCII outside of strings and comments";
constexpr const char* kAfterLine =
    "a character that is not ASCII after a line that ends in a backslash";

TEST(TomlTest, LeavesGoodTextAlone) {
  for (const char* text : {
           "",
           "a = 1\n[b.c]\nd = [\"x\", 'y'] # z\n",
           "\xef\xbb\xbf"
           "a = 1\n",
           "# ünder the hood\na = 1 # \xe2\x80\xa8 and \xc2\x85\n",
           "a = \"é\"\nb = 'é'\n\"clé\" = 1\n'clé' = 2\n",
           "a = \"\"\nb = ''\nc = \"é\"\n",
           "a = \"\\\"é\"\nb = 'C:\\'\n",
           "a = \"\"\"\né \"quoted\" ''é'' \"\"\"\nb = '''\né \\'''\n",
           "a = \"\"\"é\"\"\"\"\"\nb = 1\n",
           "a = '''é'''''\nb = 1\n",
           "a = \"\"\"one \\\n   two é \\\\é\"\"\"\n",
           "a = \"# é\"\nb = '# é'\n",
       }) {
    const Result<> checked = CheckToml(text);
    EXPECT_TRUE(checked) << text << ": " << checked.error().message();
  }
}

struct Case {
  const char* text;
  const char* message;  // the whole of it, less "line N: "
  int line;
};

TEST(TomlTest, RefusesWhatTheParserTripsOver) {
  const Case cases[] = {
      // Found by fuzzing: undefined behaviour in toml++.
      {"rGa\xd2\x99=\nc", kOutside, 1},
      {"\n\né = 1\n", kOutside, 3},
      {"a\u00a0= 1\n", kOutside, 1},
      {"a =\u2003 1\n", kOutside, 1},
      {"a = é\n", kOutside, 1},
      {"a = tru\u3001\n", kOutside, 1},
      {"a = 1\u180e\n", kOutside, 1},
      {"a = [1, é]\n", kOutside, 1},
      {"[é]\n", kOutside, 1},
      {"a = 1\n\xef\xbb\xbf"
       "b = 1\n",
       kOutside, 2},
      {"a = \"\" é\n", kOutside, 1},
      {"a = 'x'é\n", kOutside, 1},
      {"a = 'x\\' é'\n", kOutside, 1},
      {"a = \"open\né = 1\n", kOutside, 2},
      {"a = \"\"\"x\"\"\"\"\"é\n", kOutside, 1},
      {"a = '''x'''é\n", kOutside, 1},
      {"a = \"\"\"x \\\n  \n\té\"\"\"\n", kAfterLine, 3},
      {"a = \"\"\"x \\  é\"\"\"\n", kAfterLine, 1},
      {"a = \"\"\"x\\é\"\"\"\n", "a character that is not ASCII after a backslash", 1},
      {"a = \"\xff\"\n", "not UTF-8", 1},
      {"a = 1\nb = \"\xc3\"\n", "not UTF-8", 2},
      {"# \xed\xa0\x80\n", "not UTF-8", 1},
      {"# \xc0\xaf\n", "not UTF-8", 1},
      {"a = \"\xf4\x90\x80\x80\"", "not UTF-8", 1},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_FAILS(CheckToml(c.text), Code::kInvalidArgument, c.message);
    EXPECT_EQ(CheckToml(c.text).error().message(),
              "line " + std::to_string(c.line) + ": " + c.message);
  }
}

// Wherever a text is cut, the check ends and stays inside it.
TEST(TomlTest, EndsOnEveryPrefix) {
  const std::string text = "a='''\\'''''\nb=\"\"\"\\\n é\\\"\"\"\"\"\nc=\"\\\"\" # é\nd='\\'\n";
  for (size_t size = 0; size <= text.size(); ++size) {
    const std::string part = text.substr(0, size);
    const Result<> checked = CheckToml({part.data(), part.size()});
    if (!checked) {
      EXPECT_THAT(checked.error().message(), testing::StartsWith("line "));
    }
  }
}

}  // namespace
}  // namespace berth::oci
