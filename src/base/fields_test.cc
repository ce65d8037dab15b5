#include "base/fields.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/fields_testing.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

struct Inner {
  int64_t width = 8;
  double ratio = 0.1;
  std::vector<int64_t> sizes = {1, 2};
};

struct Outer {
  bool fast = false;
  int count = 3;
  uint64_t seed = 1;
  float rate = 0.1f;
  std::string name = "a \"quoted\" name";
  std::vector<std::string> files;
  std::vector<double> weights = {0.5};
  Inner inner;
};

void ListFields(Inner& i, FieldList& list) {
  list.Add("width", i.width, "how wide");
  list.Add("ratio", i.ratio, "how much");
  list.Add("sizes", i.sizes, "how large");
}

struct Twins {
  Inner a, b;
};

void ListFields(Twins& t, FieldList& list) {
  list.Section("a", t.a, "one");
  list.Section("b", t.b, "the other");
}

void ListFields(Outer& o, FieldList& list) {
  list.Add("fast", o.fast, "be quick");
  list.Add("count", o.count, "how many");
  list.Add("seed", o.seed, "of random numbers");
  list.Add("rate", o.rate, "how often");
  list.Add("name", o.name, "what it is called");
  list.Add("files", o.files, "what to read");
  list.Add("weights", o.weights, "how heavy");
  list.Section("inner", o.inner, "the inside");
}

std::string TomlError(const std::string& text) {
  Outer outer;
  return MessageOf([&] { ParseToml(text, "r.toml", FieldsOf(outer)); });
}

std::string SetError(const std::string& assignment) {
  Outer outer;
  return MessageOf([&] { SetField(FieldsOf(outer), assignment); });
}

TEST(Fields, TomlAssignsEveryTypeAndKeepsDefaults) {
  Outer outer;
  ParseToml(
      "fast = true\ncount = -4\nseed = 5\nrate = 1\nname = 'b'\nfiles = ['x', 'y']\n"
      "weights = [1, 2.5]\n[inner]\nratio = 2e-3\nsizes = []\n",
      "r.toml", FieldsOf(outer));
  EXPECT_TRUE(outer.fast);
  EXPECT_EQ(outer.count, -4);
  EXPECT_EQ(outer.seed, 5u);
  EXPECT_EQ(outer.rate, 1.0f);
  EXPECT_EQ(outer.name, "b");
  EXPECT_EQ(outer.files, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(outer.weights, (std::vector<double>{1, 2.5}));
  EXPECT_EQ(outer.inner.ratio, 2e-3);
  EXPECT_TRUE(outer.inner.sizes.empty());
  EXPECT_EQ(outer.inner.width, 8);
}

TEST(Fields, TomlErrorsNameLineAndCure) {
  EXPECT_EQ(TomlError("count = 1\ncuont = 2\n"),
            "r.toml:2: 'cuont' is unknown; did you mean 'count'?");
  EXPECT_EQ(TomlError("[inner]\nwidht = 2\n"),
            "r.toml:2: 'inner.widht' is unknown; did you mean 'inner.width'?");
  EXPECT_EQ(TomlError("[inher]\nwidth = 2\n"),
            "r.toml:1: 'inher' is unknown; did you mean 'inner'?");
  EXPECT_EQ(
      TomlError("chess = 2\n"),
      "r.toml:1: 'chess' is unknown; there are fast, count, seed, rate, name, files, weights, "
      "inner");
  EXPECT_EQ(
      TomlError("[inner]\nchessboard = 2\n"),
      "r.toml:2: 'inner.chessboard' is unknown; there are inner.width, inner.ratio, inner.sizes");
  EXPECT_EQ(TomlError("width = 2\n"), "r.toml:1: 'width' is unknown; did you mean 'inner.width'?");
  EXPECT_EQ(TomlError("count = 1.5\n"),
            "r.toml:1: count = 1.5 does not fit; it must be an integer");
  EXPECT_EQ(TomlError("count = 3000000000\n"),
            "r.toml:1: count = 3000000000 does not fit; it must be an integer");
  EXPECT_EQ(TomlError("seed = -1\n"),
            "r.toml:1: seed = -1 does not fit; it must be an integer from 0 to 2^63 - 1");
  EXPECT_EQ(TomlError("[inner]\nratio = nan\n"),
            "r.toml:2: inner.ratio = null does not fit; it must be a number");
  EXPECT_EQ(TomlError("files = ['x', 1]\n"),
            "r.toml:1: files = [\"x\",1] does not fit; it must be a list of strings");
  EXPECT_EQ(TomlError("inner = 3\n"),
            "r.toml:1: 'inner' is a section; write [inner] and its fields below");
  EXPECT_EQ(TomlError("[count]\n"), "r.toml:1: 'count' is a single value, not a section");
  EXPECT_TRUE(TomlError("fast = true\n= 3\n").starts_with("r.toml:2: not TOML: "));
}

TEST(Fields, SetAssignsFromText) {
  Outer outer;
  const FieldList fields = FieldsOf(outer);
  for (const char* assignment : {"fast=true", "count=7", "rate=0.25", "name=12", "files=a, b",
                                 "inner.sizes=[3,4]", "inner.ratio=1e-3", "weights="}) {
    SetField(fields, assignment);
  }
  EXPECT_TRUE(outer.fast);
  EXPECT_EQ(outer.count, 7);
  EXPECT_EQ(outer.rate, 0.25f);
  EXPECT_EQ(outer.name, "12");
  EXPECT_EQ(outer.files, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(outer.inner.sizes, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(outer.inner.ratio, 1e-3);
  EXPECT_TRUE(outer.weights.empty());
  SetField(fields, "files=[\"\", \"b\"]");
  EXPECT_EQ(outer.files, (std::vector<std::string>{"", "b"}));
  SetField(fields, " count\t= 8 ");  // as a recipe spaces it
  EXPECT_EQ(outer.count, 8);
  SetField(fields, "files=[\"a\", \"b\"]");  // as TOML spells it
  EXPECT_EQ(outer.files, (std::vector<std::string>{"a", "b"}));
}

TEST(Fields, WhatIsNotUtf8IsRefusedByName) {
  Outer outer;
  outer.name = "p\xe9.jsonl";
  try {
    ToToml(outer);
    ADD_FAILURE();
  } catch (const UsageError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("name is not UTF-8")) << error.what();
  }
}

// toml++ ends the program with an assertion there.
TEST(Fields, TomlNamesBeyondAsciiAreRefused) {
  const std::string why =
      " not TOML: a name without quotes has letters of ASCII, digits, - and _ alone";
  for (const char* header : {"[é]", "[[训练]]", "[ é]"}) {
    const std::string text = "# é\na = 1\n" + std::string(header) + "\n";
    EXPECT_EQ(MessageOf([&] { TomlKeys(text, "f"); }), "f:3:" + why) << header;
  }
}

TEST(Fields, TomlKeysAreThoseOfTheTopLevel) {
  EXPECT_EQ(TomlKeys("count = 1\n[inner]\nwidth = 2\n[inner.deep]\nx = 1\n", "r.toml"),
            (std::vector<std::string>{"count", "inner"}));
}

TEST(Fields, SetErrorsNameTheCure) {
  EXPECT_EQ(SetError("inner.widht=1"),
            "setting inner.widht=1: 'inner.widht' is unknown; did you mean 'inner.width'?");
  // A recipe must read back: TOML's integers end there.
  EXPECT_EQ(SetError("seed=9223372036854775807"), "");
  EXPECT_EQ(SetError("seed=9223372036854775808"),
            "seed = 9223372036854775808 does not fit; it must be an integer from 0 to 2^63 - 1");
  EXPECT_EQ(SetError("count=many"), "count = many does not fit; it must be an integer");
  EXPECT_EQ(SetError("count"),
            "setting count: write it as field=value, such as model.hidden_size=512");
  EXPECT_EQ(SetError("inner=1"), "setting inner=1: 'inner' is a section; name one of its fields");
}

TEST(Fields, WrongRecipeIsAUsageError) {
  Outer outer;
  EXPECT_THROW(ParseToml("x = 1", "r.toml", FieldsOf(outer)), UsageError);
}

// What a check finds wrong names the field as it likes: by its path, or by the path's end.
TEST(FieldPlaces, TellWhereTheFieldWasSetThatAMessageIsAbout) {
  Outer outer;
  const FieldList fields = FieldsOf(outer);
  FieldPlaces places("r.toml");
  ParseToml("count = -1\n\n[inner]\nratio = 2\nwidth = 0\n", "r.toml", fields, &places);
  SetField(fields, "inner.ratio=3", &places);
  EXPECT_EQ(places.Tell(fields, "count is -1; it must be positive"),
            "r.toml:1: count is -1; it must be positive");
  EXPECT_EQ(places.Tell(fields, "width is 0; it must be positive"),
            "r.toml:5: inner.width is 0; it must be positive");
  EXPECT_EQ(places.Tell(fields, "inner.width = 0 divides nothing"),
            "r.toml:5: inner.width = 0 divides nothing");
  EXPECT_EQ(places.Tell(fields, "width * count is 0 * -1"),
            "r.toml:5: inner.width * count is 0 * -1");
  EXPECT_EQ(places.Tell(fields, "ratio is 3; it must be 1"),
            "setting inner.ratio=3: inner.ratio is 3; it must be 1");
  // Its default, no field, several fields.
  EXPECT_EQ(places.Tell(fields, "rate is 0; raise it"), "r.toml: rate is 0; raise it");
  EXPECT_EQ(places.Tell(fields, "sizes is empty"), "r.toml: inner.sizes is empty");
  EXPECT_EQ(places.Tell(fields, "nothing is given"), "r.toml: nothing is given");
  EXPECT_EQ(places.Tell(fields, "count and width cannot both be 0"),
            "r.toml: count and width cannot both be 0");
}

// Fields of the same name in two sections: the message alone does not say which is meant.
TEST(FieldPlaces, GuessAtNoField) {
  Twins twins;
  FieldPlaces places("r.toml");
  ParseToml("[a]\nwidth = 0\n", "r.toml", FieldsOf(twins), &places);
  EXPECT_EQ(places.Tell(FieldsOf(twins), "width is 0"), "r.toml: width is 0");
  EXPECT_EQ(places.Tell(FieldsOf(twins.a), "width is 0"), "r.toml:2: a.width is 0");
}

TEST(Fields, TomlReadsBackExactly) {
  Outer outer;
  outer.rate = 1.0f / 3;
  outer.inner.ratio = 1.0 / 3;
  outer.name = "tab\t, ümlaut, \"quotes\"";
  outer.files = {"a,b", ""};
  outer.seed = ~uint64_t{0} >> 1;  // TOML's integers are signed
  Outer back;
  ParseToml(ToToml(outer), "r.toml", FieldsOf(back));
  EXPECT_EQ(ToToml(back), ToToml(outer));
  EXPECT_EQ(back.rate, outer.rate);
  EXPECT_EQ(back.inner.ratio, outer.inner.ratio);
  EXPECT_EQ(back.name, outer.name);
  EXPECT_EQ(back.files, outer.files);
  EXPECT_EQ(back.seed, outer.seed);
}

TEST(Fields, HelpShowsEveryFieldWithItsDefault) {
  const std::string help = FieldsHelp<Outer>();
  EXPECT_NE(help.find("rate = 0.1 "), std::string::npos) << help;
  EXPECT_NE(help.find("# how often\n"), std::string::npos) << help;
  EXPECT_NE(help.find("[inner]  # the inside\n"), std::string::npos) << help;
  EXPECT_NE(help.find("sizes = [1,2]"), std::string::npos) << help;
}

TEST(NearestName, CountsEditsAndLooksIntoSections) {
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(NearestName("gcb", {"sum", "gcd"}), "gcd");
  EXPECT_EQ(NearestName("gcb", {"sum", "gcd", "gcf"}), "gcd");  // the first of equals
  EXPECT_EQ(NearestName("train.hidden", {"train.hint", "model.hidden"}), "model.hidden");
  EXPECT_EQ(NearestName("x", {}), "");
  const std::vector<std::string> run = {"pretrain.train.steps", "reinforce.rl.steps", "model",
                                        "model.hidden_size"};
  EXPECT_EQ(NearestName("rl.steps", run), "reinforce.rl.steps");
  EXPECT_EQ(NearestName("model.hiden", run), "model.hidden_size");
}

TEST(DidYouMean, NamesWhatIsNearAndNothingElse) {
  EXPECT_EQ(DidYouMean("gcb", {"sum", "gcd"}), "; did you mean 'gcd'?");
  EXPECT_EQ(DidYouMean("numbers", {"exact", "numeric"}), "; did you mean 'numeric'?");  // 4 of 7
  EXPECT_EQ(DidYouMean("chess", {"countdown", "base"}), "");                            // 4 of 5
  EXPECT_EQ(DidYouMean("x", {}), "");
}

struct PartThenWhole {
  Inner part;
  int64_t whole = 3;
};
void ListFields(PartThenWhole& options, FieldList& list) {
  list.Section("part", options.part, "a part");
  list.Add("whole", options.whole, "of the whole, listed behind its part");
}

TEST(ToToml, FieldsOfTheWholeStandBeforeItsParts) {
  PartThenWhole written, read;
  written.whole = 4;
  ParseToml(ToToml(written), "r.toml", FieldsOf(read));
  EXPECT_EQ(read.whole, 4);
}

TEST(Fields, JsonAndBack) {
  Outer outer;
  outer.rate = 0.25f;
  const nlohmann::ordered_json json = FieldsToJson(FieldsOf(outer));
  EXPECT_EQ(json.dump(),
            R"({"fast":false,"count":3,"seed":1,"rate":0.25,"name":"a \"quoted\" name","files":[],)"
            R"("weights":[0.5],"inner":{"width":8,"ratio":0.1,"sizes":[1,2]}})");
  const FieldList list = FieldsOf(outer);
  EXPECT_TRUE(AssignJson(*list.Find("inner.sizes"), {3, 4}));
  EXPECT_EQ(outer.inner.sizes, (std::vector<int64_t>{3, 4}));
  EXPECT_TRUE(AssignJson(*list.Find("rate"), 2));
  EXPECT_EQ(outer.rate, 2.0f);
  EXPECT_FALSE(AssignJson(*list.Find("count"), 1.0));
  EXPECT_FALSE(AssignJson(*list.Find("count"), int64_t{1} << 31));
  EXPECT_FALSE(AssignJson(*list.Find("fast"), 1));
  EXPECT_FALSE(AssignJson(*list.Find("name"), nullptr));
  EXPECT_FALSE(AssignJson(*list.Find("inner.sizes"), {3, "4"}));
  EXPECT_EQ(outer.count, 3);
  EXPECT_EQ(outer.inner.sizes, (std::vector<int64_t>{3, 4}));
}

// One of each type, and the ways of listing it wrongly.
struct Listed {
  int64_t a = 1;
  bool b = true;
  bool c = false;
  int d = 2;
  std::vector<std::string> e;
  Inner f;
  bool g = false;
};
enum class Omitted { kNothing, kFirst, kBool, kInt, kVector, kSection, kLast, kTwice, kForeign };
template <Omitted omitted>
struct Case : Listed {
  Case() {}  // no aggregate: the bytes alone tell
};
template <Omitted omitted>
void ListFields(Case<omitted>& l, FieldList& list) {
  static int64_t foreign = 0;
  if (omitted != Omitted::kFirst) list.Add("a", l.a, "");
  if (omitted != Omitted::kBool) list.Add("b", l.b, "");
  list.Add("c", l.c, "");
  if (omitted != Omitted::kInt) list.Add("d", l.d, "");
  if (omitted != Omitted::kVector) list.Add("e", l.e, "");
  if (omitted != Omitted::kSection) list.Section("f", l.f, "");
  if (omitted != Omitted::kLast) list.Add("g", l.g, "");
  if (omitted == Omitted::kTwice) list.Add("h", l.d, "");
  if (omitted == Omitted::kForeign) list.Add("h", foreign, "");
}

// Aggregates, in which a bool is forgotten among others.
struct Whole {
  int64_t a = 1;
  bool b = true, c = false, d = true;
};
struct Forgetful {
  int64_t a = 1;
  bool b = true, c = false, d = true;
};
void ListFields(Whole& w, FieldList& list) {
  list.Add("a", w.a, "");
  list.Add("d", w.d, "");  // in any order
  list.Add("b", w.b, "");
  list.Add("c", w.c, "");
}
void ListFields(Forgetful& f, FieldList& list) {
  list.Add("a", f.a, "");
  list.Add("b", f.b, "");
  list.Add("c", f.c, "");
}

TEST(ListsEveryMember, SeesWhatIsForgotten) {
  EXPECT_TRUE(ListsEveryMember<Inner>());
  EXPECT_TRUE(ListsEveryMember<Outer>());
  EXPECT_TRUE(ListsEveryMember<PartThenWhole>());
  EXPECT_TRUE(ListsEveryMember<Whole>());
  EXPECT_STREQ(ListsEveryMember<Forgetful>().message(), "the struct has 4 members, 3 are listed");
  const auto message = []<Omitted omitted>() -> std::string {
    return ListsEveryMember<Case<omitted>>().message();
  };
  EXPECT_EQ(message.operator()<Omitted::kNothing>(), "");
  EXPECT_EQ(message.operator()<Omitted::kFirst>(), "no field for 8 bytes behind the beginning");
  EXPECT_EQ(message.operator()<Omitted::kBool>(), "no field for 1 bytes behind 'a'");
  EXPECT_EQ(message.operator()<Omitted::kInt>(), "");  // four bytes that may be alignment
  EXPECT_EQ(message.operator()<Omitted::kVector>(), "no field for 24 bytes behind 'd'");
  EXPECT_EQ(message.operator()<Omitted::kSection>(), "no field for 40 bytes behind 'e'");
  EXPECT_EQ(message.operator()<Omitted::kLast>(), "no field for 8 bytes behind 'f'");
  EXPECT_TRUE(message.operator()<Omitted::kTwice>().ends_with("or is listed twice"));
  EXPECT_TRUE(message.operator()<Omitted::kForeign>().ends_with("or is listed twice"));
}

TEST(MemberCount, CountsEveryTypeOfField) {
  EXPECT_EQ(internal::MemberCount<Inner>(), 3u);
  EXPECT_EQ(internal::MemberCount<Outer>(), 8u);
  EXPECT_EQ(internal::MemberCount<Listed>(), 7u);
}

// Every type under its own name, whatever the order of FieldPointer.
TEST(Fields, TypesHaveNames) {
  Outer outer;
  const FieldList list = FieldsOf(outer);
  std::string names;
  for (const Field& field : list.fields()) {
    names += fmt::format("{}: {}\n", field.path, TypeOf(field));
  }
  EXPECT_EQ(names,
            "fast: true or false\n"
            "count: an integer\n"
            "seed: an integer from 0 to 2^63 - 1\n"
            "rate: a number\n"
            "name: a string\n"
            "files: a list of strings\n"
            "weights: a list of numbers\n"
            "inner.width: an integer\n"
            "inner.ratio: a number\n"
            "inner.sizes: a list of integers\n");
}

}  // namespace
}  // namespace darkhorse
