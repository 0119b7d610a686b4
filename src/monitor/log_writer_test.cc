// SPDX-License-Identifier: Apache-2.0
#include "monitor/log_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/strings.h"

namespace berth::monitor {
namespace {

constexpr size_t kTime = 30;

// The records without their times, which are checked for form.
std::vector<std::string> Records(const std::string& log) {
  std::vector<std::string> records;
  for (std::string_view line : Split(log, '\n')) {
    if (line.empty()) continue;
    EXPECT_GT(line.size(), kTime) << line;
    EXPECT_EQ(line[4], '-');
    EXPECT_EQ(line[10], 'T');
    EXPECT_EQ(line[29], 'Z');
    records.emplace_back(line.substr(kTime + 1));
  }
  return records;
}

class LogStreamTest : public testing::Test {
 protected:
  LogStreamTest() : memory_(*os::MakeMemFile("log", "", false)), file_(*memory_.Duplicate()) {}
  std::string Log() {
    ::lseek(memory_.get(), 0, SEEK_SET);
    return *os::ReadAll(memory_.get(), 64 << 20);
  }
  void Feed(std::string_view text) { stream_.Feed(text.data(), text.size()); }

  os::Fd memory_;
  LogFile file_;
  LogStream stream_{&file_, "stdout"};
};

TEST(FormatTime, IsRfc3339InUtcWithNineDigits) {
  char text[30];
  FormatTime(1714979289, 10, text);
  EXPECT_EQ(std::string(text, 30), "2024-05-06T07:08:09.000000010Z");
  FormatTime(951782400, 999'999'999, text);
  EXPECT_EQ(std::string(text, 30), "2000-02-29T00:00:00.999999999Z");
  FormatTime(0, 0, text);
  EXPECT_EQ(std::string(text, 30), "1970-01-01T00:00:00.000000000Z");
  FormatTime(4107542399, 0, text);
  EXPECT_EQ(std::string(text, 30), "2100-02-28T23:59:59.000000000Z");
}

TEST_F(LogStreamTest, Rule26WritesOneRecordPerLine) {
  Feed("one\ntwo\n\nthree\n");
  EXPECT_EQ(Records(Log()), (std::vector<std::string>{"stdout F one", "stdout F two", "stdout F ",
                                                      "stdout F three"}));
}

TEST_F(LogStreamTest, JoinsALineThatCameInPieces) {
  Feed("he");
  Feed("llo");
  EXPECT_EQ(Log(), "");
  Feed(" world\nx");
  EXPECT_EQ(Records(Log()), (std::vector<std::string>{"stdout F hello world"}));
}

TEST_F(LogStreamTest, Rule26UnterminatedRestIsPartialAtTheEnd) {
  Feed("done\nrest");
  stream_.End();
  stream_.End();
  EXPECT_EQ(Records(Log()), (std::vector<std::string>{"stdout F done", "stdout P rest"}));
}

TEST_F(LogStreamTest, Rule26StripsCarriageReturnBeforeNewlineOnly) {
  Feed("a\r\nb\rc\r\r\n\r\n");
  EXPECT_EQ(Records(Log()),
            (std::vector<std::string>{"stdout F a", "stdout F b\rc\r", "stdout F "}));
}

TEST_F(LogStreamTest, Rule26StripsCarriageReturnThatEndedTheReadBefore) {
  Feed("a\r");
  Feed("\nb\r");
  Feed("c\n");
  EXPECT_EQ(Records(Log()), (std::vector<std::string>{"stdout F a", "stdout F b\rc"}));
}

TEST_F(LogStreamTest, Rule26SplitsLongLinesWhateverThePiecesAre) {
  const size_t max = LogStream::kMaxLine;
  std::string line;
  for (size_t i = 0; i < 2 * max + 100; ++i) line += static_cast<char>('a' + i % 26);
  for (size_t piece : {size_t{1}, size_t{1000}, max - 1, max, max + 1, line.size() + 1}) {
    ASSERT_EQ(::ftruncate(memory_.get(), 0), 0);
    ::lseek(memory_.get(), 0, SEEK_SET);
    const std::string input = line + "\n";
    for (size_t at = 0; at < input.size(); at += piece)
      Feed(std::string_view(input).substr(at, piece));
    EXPECT_EQ(Records(Log()), (std::vector<std::string>{"stdout P " + line.substr(0, max),
                                                        "stdout P " + line.substr(max, max),
                                                        "stdout F " + line.substr(2 * max)}))
        << piece;
  }
}

TEST_F(LogStreamTest, LineOfExactlyTheLimitIsWhole) {
  const std::string line(LogStream::kMaxLine, 'x');
  Feed(line);
  Feed("\r");
  Feed("\n");
  Feed(line + "\n");
  Feed(line);
  Feed("\ry\n");
  EXPECT_EQ(Records(Log()), (std::vector<std::string>{"stdout F " + line, "stdout F " + line,
                                                      "stdout P " + line, "stdout F \ry"}));
}

TEST_F(LogStreamTest, SurvivesMoreRecordsThanTheBufferHolds) {
  const std::string newlines(200'000, '\n');
  Feed(newlines);
  EXPECT_EQ(Records(Log()).size(), newlines.size());
}

TEST(LogFile, Rule27FullDiskDropsAndCountsButDoesNotFail) {
  LogFile file(os::Fd(::open("/dev/full", O_WRONLY | O_CLOEXEC)));
  LogStream stream(&file, "stderr");
  stream.Feed("lost\n", 5);
  EXPECT_EQ(file.dropped_bytes(), kTime + 10 + 5);
}

TEST(LogFile, CutRecordIsClosedBeforeTheNext) {
  os::TempDir temp = *os::TempDir::Make();
  LogFile file = *LogFile::Open(*temp.dir().Duplicate(), "log");
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 5;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  file.Write("12345678\n", 9);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  file.Write("next\n", 5);
  EXPECT_EQ(*temp.dir().ReadFile("log", 100), "12345\nnext\n");
  EXPECT_EQ(file.dropped_bytes(), 4U);
}

class LogFileTest : public testing::Test {
 protected:
  os::TempDir temp_ = *os::TempDir::Make();
  const os::DirFd& dir() { return temp_.dir(); }
  Result<LogFile> Open(const char* rel) { return LogFile::Open(*dir().Duplicate(), rel); }
};

TEST_F(LogFileTest, Rule27MakesDirectoriesAndFileWithRestrictedMode) {
  ::umask(022);
  ASSERT_TRUE(Open("app/sub/0.log"));
  EXPECT_EQ(dir().Stat("app/sub/0.log")->st_mode & 07777, 0640U);
  EXPECT_EQ(dir().Stat("app")->st_mode & 07777, 0755U);
}

TEST_F(LogFileTest, Rule27AppendsToWhatIsThere) {
  ASSERT_TRUE(dir().WriteFile("0.log", "old\n", 0640));
  Result<LogFile> file = Open("0.log");
  ASSERT_TRUE(file);
  file->Write("new\n", 4);
  EXPECT_EQ(*dir().ReadFile("0.log", 100), "old\nnew\n");
}

TEST_F(LogFileTest, RefusesWhatIsNoPlainFileOfOneName) {
  ASSERT_TRUE(dir().WriteFile("victim", "safe", 0644));
  ASSERT_EQ(::symlinkat("victim", dir().get(), "link"), 0);
  ASSERT_EQ(::linkat(dir().get(), "victim", dir().get(), "hard", 0), 0);
  ASSERT_EQ(::mkfifoat(dir().get(), "fifo", 0600), 0);
  ASSERT_EQ(::symlinkat(".", dir().get(), "dirlink"), 0);
  ASSERT_TRUE(dir().MakeDir("directory", 0755));
  for (const char* name : {"link", "hard", "fifo", "directory", "dirlink/0.log", "../out"}) {
    Result<LogFile> file = Open(name);
    ASSERT_FALSE(file) << name;
    EXPECT_NE(file.error().message().find("log"), std::string::npos) << file.error().message();
  }
  EXPECT_EQ(*dir().ReadFile("victim", 100), "safe");
}

TEST_F(LogFileTest, ReopenMakesTheFileAnew) {
  Result<LogFile> file = Open("0.log");
  ASSERT_TRUE(file);
  file->Write("one\n", 4);
  ASSERT_TRUE(dir().Rename("0.log", "0.log.1", true));
  ASSERT_TRUE(file->Reopen());
  file->Write("two\n", 4);
  EXPECT_EQ(*dir().ReadFile("0.log.1", 100), "one\n");
  EXPECT_EQ(*dir().ReadFile("0.log", 100), "two\n");
}

TEST_F(LogFileTest, Rule28FailedReopenKeepsTheOldFileAndMakesNone) {
  Result<LogFile> file = Open("sub/0.log");
  ASSERT_TRUE(file);
  ASSERT_TRUE(dir().Rename("sub", "moved", true));
  EXPECT_FALSE(file->Reopen());
  ASSERT_EQ(::symlinkat("moved", dir().get(), "sub"), 0);
  EXPECT_FALSE(file->Reopen());
  file->Write("kept\n", 5);
  EXPECT_EQ(*dir().ReadFile("moved/0.log", 100), "kept\n");
}

}  // namespace
}  // namespace berth::monitor
