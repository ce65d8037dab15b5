#include "base/toml_tables.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

constexpr char kText[] =
    "seed = 1\n"
    "[[stage]]  # the first\n"
    "kind = \"a\"\n"
    "[stage.rl]\n"
    "steps = 2\n"
    "[corpus]\n"
    "x = 1\n"
    "[[ stage ]]\n"
    "kind = \"b\"";

TEST(SplitTables, EachIsADocumentWhoseLinesKeepTheirNumbers) {
  const TomlParts parts = SplitTables(kText, "r.toml", "stage");
  EXPECT_EQ(parts.rest, "seed = 1\n\n\n\n\n[corpus]\nx = 1\n");
  ASSERT_EQ(parts.tables.size(), 2u);
  EXPECT_EQ(parts.tables[0], "\n\nkind = \"a\"\n[rl]\nsteps = 2\n");
  EXPECT_EQ(parts.tables[1], "\n\n\n\n\n\n\n\nkind = \"b\"\n");
  EXPECT_EQ(SplitTables("[[stage]]\na = [\n[1],\n['x']\n]\n", "r", "stage").tables,
            std::vector<std::string>{"\na = [\n[1],\n['x']\n]\n"});
  EXPECT_TRUE(SplitTables("a = 1\n", "r.toml", "stage").tables.empty());
}

// Lines of a text are no headers, whatever they look like.
TEST(SplitTables, StringsMayGoOverLines) {
  for (const std::string quotes : {"\"\"\"", "'''"}) {
    const std::string text = "[[stage]]\na = " + quotes + "\n[stage.x]\n[[stage]]\n[y]\n" + quotes +
                             " # '''\n[stage.b]\nc = 1\n";
    EXPECT_EQ(SplitTables(text, "r", "stage").tables,
              std::vector<std::string>{"\na = " + quotes + "\n[stage.x]\n[[stage]]\n[y]\n" +
                                       quotes + " # '''\n[b]\nc = 1\n"});
  }
  // What looks like their quotes.
  for (const char* line :
       {"a = '\"\"\"'", R"(a = "\"'''")", "a = 1 # '''", R"(a = """x\"""y""")", "a = '''b'''"}) {
    EXPECT_EQ(SplitTables(std::string(line) + "\n[[stage]]\nb = 1\n", "r", "stage").tables.size(),
              1u)
        << line;
  }
}

TEST(SplitTables, RefusesWhatItCannotTakeApart) {
  const auto why = [](const char* text) {
    return MessageOf([&] { SplitTables(text, "r.toml", "stage"); });
  };
  EXPECT_NE(why("a = \n").find("r.toml:1: "), std::string::npos);
  EXPECT_EQ(why("[stage]\na = 1\n"),
            "r.toml: stage is no list of tables; head each with [[stage]]");
  EXPECT_EQ(why("stage = [{a = 1}]\n"),
            "r.toml: head each table of stage with [[stage]] on a line of its own");
}

TEST(TomlText, IsTheTextAtAKey) {
  EXPECT_EQ(TomlText("a = \"b\"\n[x]\nc = \"d\"\n", "r", "a"), "b");
  EXPECT_EQ(TomlText("a = \"b\"\n", "r", "c"), "");
  EXPECT_EQ(MessageOf([] { TomlText("\na = 1\n", "r.toml", "a"); }),
            "r.toml:2: a must be a text in quotes");
}

}  // namespace
}  // namespace darkhorse
