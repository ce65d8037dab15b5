// Pieces that the sections of a report are made of.
#pragma once

#include <string>
#include <vector>

#include "base/interval.h"
#include "report/charts.h"

namespace darkhorse {

// Text is escaped.
std::string ReportSection(const std::string& title, const std::string& text);
std::string DrawCharts(const std::vector<NamedChart>& charts);

// Cells are escaped; the first column is text, the others are figures.
class Table {
 public:
  explicit Table(const std::vector<std::string>& head) { Row(head, "th"); }
  void Add(const std::vector<std::string>& cells) { Row(cells, "td"); }
  std::string Html() const;

 private:
  void Row(const std::vector<std::string>& cells, std::string_view tag);
  std::string rows_;
};

// A dash for what is not a number.
std::string Percent(double share);
// "; leniently 12.3 %": pass@1 of a task's or a probe's scores, where answers were read leniently,
// too.
std::string Leniently(const Json& scores);
// "97.5 % (93.0–99.1)"; without its bounds where they are not known.
std::string PercentWithInterval(const Interval& share);
std::string OrDash(double value, int digits);
// "$4.00"; "0.3 cents" of what is less than a tenth of a dollar.
std::string Money(double dollars);

}  // namespace darkhorse
