#include "report/parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/markup.h"

namespace darkhorse {

std::string DrawCharts(const std::vector<NamedChart>& charts) {
  std::string out = "<div class=\"charts\">\n";
  for (const NamedChart& named : charts) {
    out += fmt::format("<figure style=\"margin:0\"{}>{}{}</figure>\n",
                       charts.size() == 1 ? " class=\"only\"" : "", DrawChart(named.chart),
                       named.note.empty()
                           ? ""
                           : fmt::format("<figcaption>{}</figcaption>", EscapeMarkup(named.note)));
  }
  return out + "</div>\n";
}

std::string ReportSection(const std::string& title, const std::string& text) {
  return fmt::format("<h2>{}</h2>\n<p class=\"soft\">{}</p>\n", EscapeMarkup(title),
                     EscapeMarkup(text));
}

std::string Table::Html() const {
  return "<div class=\"scroll\"><table>\n" + rows_ + "</table></div>\n";
}

void Table::Row(const std::vector<std::string>& cells, std::string_view tag) {
  rows_ += "<tr>";
  for (const std::string& cell : cells)
    rows_ += fmt::format("<{0}>{1}</{0}>", tag, EscapeMarkup(cell));
  rows_ += "</tr>\n";
}

std::string Percent(double share) {
  return std::isfinite(share) ? fmt::format("{:.1f} %", 100 * share) : "–";
}

std::string Leniently(const Json& scores) {
  const auto lenient = scores.find("lenient");
  if (lenient == scores.end() || !lenient->is_object()) return "";
  return "; leniently " + Percent(NumberAt(*lenient, "pass@1"));
}

std::string PercentWithInterval(const Interval& share) {
  if (!std::isfinite(share.value) || !std::isfinite(share.high - share.low))
    return Percent(share.value);
  return fmt::format("{} ({:.1f}–{:.1f})", Percent(share.value), 100 * share.low, 100 * share.high);
}

std::string Money(double dollars) {
  if (dollars >= 0.1) return fmt::format("${:.2f}", dollars);
  return fmt::format("{:.2g} cents", 100 * dollars);
}

std::string OrDash(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "–";
}

}  // namespace darkhorse
