#include "task/json_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/ascii.h"
#include "base/error.h"
#include "base/json.h"
#include "base/row_faults.h"
#include "base/utf8.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxLine = 1 << 20;
constexpr int kMaxDepth = 64;

// Of a whole file, before any of its lines is read.
void RefuseForeignText(std::string_view text, const std::string& name) {
  if (IsWideText(text)) Fail("{}: {}", name, kWideTextCure);
  if (text.starts_with("\x1F\x8B")) Fail("{}: gzip data; give it a name that ends in .gz", name);
  if (text.starts_with("\x28\xB5\x2F\xFD"))
    Fail("{}: zstd data; give it a name that ends in .zst", name);
  // Over several lines each of them would be refused, and none for what is wrong.
  const std::string_view first = TrimAscii(text.substr(0, text.find('\n')));
  if (first == "[" || first == "{")
    Fail("{}: one JSON value over several lines; write one object a line: jq -c {} {}", name,
         first == "[" ? "'.[]'" : ".", name);
}

}  // namespace

void ForEachRow(std::string_view text, const std::string& name,
                const std::function<void(std::string_view, const std::string&)>& read) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  RefuseForeignText(text, name);
  RowFaults faults;
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = text.substr(0, end);
    const std::string where = fmt::format("{}:{}", name, line);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (TrimAscii(row).empty()) continue;
    try {
      read(row, where);
    } catch (const Error& error) {
      faults.Add(where, error.what());
    }
  }
  faults.Raise();
}

Json RowObject(std::string_view row, std::string_view form) {
  if (row.size() > kMaxLine) Fail("longer than 1 MiB");
  std::string why;
  std::optional<Json> parsed = TryParseJson<Json>(row, &why, kMaxDepth);
  if (!parsed) Fail("{}", why);
  if (parsed->is_array()) Fail("a JSON array, not an object; write one object a line: jq -c '.[]'");
  if (!parsed->is_object()) Fail("not a JSON object; write {}", form);
  return *std::move(parsed);
}

}  // namespace darkhorse
