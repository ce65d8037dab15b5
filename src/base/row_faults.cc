#include "base/row_faults.h"

#include "base/error.h"
#include "base/format.h"

namespace darkhorse {

void RowFaults::Add(const std::string& where, std::string_view why) {
  constexpr int64_t kNamed = 10;
  constexpr size_t kLongest = 80;
  const std::string line = where.substr(where.rfind(':') + 1);
  if (++count_ == 1) {
    first_ = fmt::format("{}: {}", where, why);
  } else if (count_ > kNamed) {
    if (count_ == kNamed + 1) others_ += ", …";
  } else if (why == why_) {  // is not said once more
    others_ += fmt::format("{} {}", others_.empty() ? "" : ",", line);
  } else {
    others_ += fmt::format("{} {}: {}", others_.empty() ? "" : ";", line, Printable(why, kLongest));
  }
  why_ = why;
}

void RowFaults::Raise() const {
  if (count_ == 1) Fail("{}", first_);
  if (count_ > 1) {
    Fail("{}; {} cannot be used, of line{}", first_, Counted(count_ - 1, "more row"), others_);
  }
}

}  // namespace darkhorse
