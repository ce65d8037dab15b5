#include "base/nearest_name.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace darkhorse {
namespace {

std::string_view LastPart(std::string_view name) { return name.substr(name.rfind('.') + 1); }

}  // namespace

int EditDistance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i) + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const int substitute = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substitute, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

namespace {

struct Nearest {
  std::string name;
  int distance = 0;
};

Nearest FindNearest(std::string_view name, const std::vector<std::string>& candidates) {
  Nearest best;
  for (const std::string& candidate : candidates) {
    if (name.starts_with(candidate + '.')) continue;  // the section is right
    int distance = std::min(EditDistance(name, candidate),
                            EditDistance(LastPart(name), LastPart(candidate)) + 2);
    if (name.find('.') != name.npos && candidate.ends_with('.' + std::string(name))) distance = 0;
    if (best.name.empty() || distance < best.distance) best = {candidate, distance};
  }
  return best;
}

}  // namespace

std::string NearestName(std::string_view name, const std::vector<std::string>& candidates) {
  return FindNearest(name, candidates).name;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates) {
  const Nearest nearest = FindNearest(name, candidates);
  if (nearest.name.empty() || nearest.distance * 2 > static_cast<int>(name.size()) + 1) return "";
  return fmt::format("; did you mean '{}'?", nearest.name);
}

}  // namespace darkhorse
