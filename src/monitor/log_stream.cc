// SPDX-License-Identifier: Apache-2.0
#include <time.h>

#include <algorithm>
#include <cstring>

#include "monitor/log_writer.h"

namespace berth::monitor {

namespace {

constexpr size_t kTimeSize = 30;

void PutDigits(char* out, int64_t value, int width) {
  for (int i = width - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

struct Date {
  int64_t year;
  int64_t month;
  int64_t day;
};

// Days since 1970 to a date of the Gregorian calendar, counted in years that begin in March so that
// the leap day is the last of its year.
Date CivilDate(int64_t days) {
  constexpr int64_t kDaysTo1970 = 719468;  // since 0000-03-01
  constexpr int64_t kDaysPer400Years = 146097;
  const int64_t since = days + kDaysTo1970;
  const int64_t era = since / kDaysPer400Years;
  const int64_t day_of_era = since % kDaysPer400Years;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t march_month = (5 * day_of_year + 2) / 153;
  Date date;
  date.day = day_of_year - (153 * march_month + 2) / 5 + 1;
  date.month = march_month < 10 ? march_month + 3 : march_month - 9;
  date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
  return date;
}

}  // namespace

void FormatTime(int64_t seconds, int64_t nanos, char* out) {
  seconds = std::clamp<int64_t>(seconds, 0, 253402300799);  // 9999-12-31T23:59:59
  const Date date = CivilDate(seconds / 86400);
  const int64_t of_day = seconds % 86400;
  std::memcpy(out, "0000-00-00T00:00:00.000000000Z", kTimeSize);
  PutDigits(out, date.year, 4);
  PutDigits(out + 5, date.month, 2);
  PutDigits(out + 8, date.day, 2);
  PutDigits(out + 11, of_day / 3600, 2);
  PutDigits(out + 14, of_day / 60 % 60, 2);
  PutDigits(out + 17, of_day % 60, 2);
  PutDigits(out + 20, nanos, 9);
}

void LogStream::Begin() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  FormatTime(now.tv_sec, now.tv_nsec, prefix_);
  prefix_[kTimeSize] = ' ';
  const size_t name_size = std::strlen(name_);
  std::memcpy(prefix_ + kTimeSize + 1, name_, name_size);
  prefix_[kTimeSize + 1 + name_size] = ' ';
  prefix_size_ = kTimeSize + 2 + name_size;
}

void LogStream::Flush() {
  if (filled_ > 0) file_->Write(OutBuffer(), filled_);
  filled_ = 0;
}

// One record: what is carried, then `data`.
void LogStream::Emit(char tag, const char* data, size_t size) {
  const size_t need = prefix_size_ + 2 + carried_ + size + 1;
  if (filled_ + need > kOutBufferBytes) Flush();
  char* out = OutBuffer() + filled_;
  std::memcpy(out, prefix_, prefix_size_);
  out += prefix_size_;
  *out++ = tag;
  *out++ = ' ';
  if (carried_ > 0) std::memcpy(out, carry_.data(), carried_);
  out += carried_;
  if (size > 0) std::memcpy(out, data, size);
  out[size] = '\n';
  filled_ += need;
  carried_ = 0;
}

// `data` holds no newline; `complete` says that one follows it. At most kMaxLine bytes stay
// carried, and one more when that is a carriage return whose newline may be the next byte.
void LogStream::AddPiece(const char* data, size_t size, bool complete) {
  if (complete && size > 0 && data[size - 1] == '\r') {
    --size;
  } else if (complete && size == 0 && carried_ > 0 && carry_.data()[carried_ - 1] == '\r') {
    --carried_;
  }
  while (carried_ + size > kMaxLine) {
    if (!complete && size > 0 && carried_ + size == kMaxLine + 1 && data[size - 1] == '\r') break;
    if (carried_ > kMaxLine) {  // that carriage return was none of a line's end
      if (size == 0 && !complete) return;
      carried_ = kMaxLine;
      Emit('P', nullptr, 0);
      carry_.data()[0] = '\r';
      carried_ = 1;
      continue;
    }
    const size_t take = kMaxLine - carried_;
    Emit('P', data, take);
    data += take;
    size -= take;
  }
  if (complete) return Emit('F', data, size);
  if (size == 0) return;
  if (carry_.data() == nullptr) return Emit('P', data, size);
  std::memcpy(carry_.data() + carried_, data, size);
  carried_ += size;
}

void LogStream::Feed(const char* data, size_t size) {
  Begin();
  while (size > 0) {
    const void* newline = std::memchr(data, '\n', size);
    const size_t length =
        newline != nullptr ? static_cast<size_t>(static_cast<const char*>(newline) - data) : size;
    AddPiece(data, length, newline != nullptr);
    const size_t used = length + (newline != nullptr ? 1 : 0);
    data += used;
    size -= used;
  }
  Flush();
}

void LogStream::End() {
  if (carried_ == 0) return;
  Begin();
  Emit('P', nullptr, 0);
  Flush();
}

void LogStream::Idle() const {
  if (carried_ == 0) carry_.Release();
}

}  // namespace berth::monitor
