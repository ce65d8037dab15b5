// Templates beside what jinja2 makes of them (tools/make_template_golden.py), and the limits.
#include "text/template/interpreter.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "text/chat_template.h"

namespace darkhorse {
namespace {

using nlohmann::ordered_json;

const ordered_json& Golden() {
  static const ordered_json golden =
      ordered_json::parse(ReadFile(DARKHORSE_SOURCE_DIR "/tests/golden/templates.json"));
  return golden;
}

// The text, or null where it is refused, as the golden file has it; *error says why.
ordered_json Rendered(const std::string& source, const ordered_json& messages,
                      const ordered_json& variables, std::string* error) {
  ChatOptions options;
  options.variables = variables;
  options.bos_token = "<s>";
  options.eos_token = "</s>";
  const std::time_t seconds = Golden()["now"].get<std::time_t>();
  std::tm now{};
  gmtime_r(&seconds, &now);
  options.now = now;
  try {
    return ChatTemplate::Parse(source, "golden").Render(messages, options).bytes();
  } catch (const Error& fault) {
    *error = fault.what();
    return nullptr;
  }
}

TEST(TemplateGolden, FeatureByFeature) {
  for (const ordered_json& item : Golden()["cases"]) {
    std::string error;
    const ordered_json text = Rendered(item[0], Golden()["messages"], nullptr, &error);
    EXPECT_EQ(text, item[1]) << item[0].get<std::string>() << "\n" << error;
    if (text.is_null()) {
      EXPECT_TRUE(error.starts_with("golden: line ")) << error;
      EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    }
  }
}

TEST(TemplateGolden, RandomTemplates) {
  for (const ordered_json& item : Golden()["random"]) {
    std::string error;
    const ordered_json text =
        Rendered(item[0], ordered_json::array(), Golden()["variables"], &error);
    EXPECT_EQ(text, item[1]) << item[0].get<std::string>() << "\n" << error;
  }
}

std::string Fault(const std::string& source, const ChatOptions& options = {}) {
  try {
    const std::string text =
        ChatTemplate::Parse(source, "t").Render(ordered_json::array(), options).bytes();
    return "rendered: " + text.substr(0, 100);
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(TemplateErrors, NameTheLineAndTheCause) {
  EXPECT_EQ(Fault("a\n\n{{ missing.x }}"), "t: line 3: 'missing' is undefined");
  EXPECT_EQ(Fault("{{ missing() }}"), "t: line 1: 'missing' is undefined");
  EXPECT_EQ(Fault("{{ 'x'() }}"), "t: line 1: 'str' object is not callable");
  EXPECT_EQ(Fault("{{ 'x' |\n trimm }}"), "t: line 2: no filter 'trimm'; did you mean 'trim'?");
  EXPECT_EQ(Fault("{{ 1 is strin }}"), "t: line 1: no test 'strin'; did you mean 'string'?");
  EXPECT_EQ(Fault("\n{{ raise_exception('Roles must\nalternate') }}"),
            "t: line 2: the template refuses this: Roles must\\nalternate");
  EXPECT_EQ(Fault("x\n{% if true %}\n"), "t: line 2: this block has no {% endif %}");
  EXPECT_EQ(Fault("{% for x in [] %}{% endif %}"),
            "t: line 1: found {% endif %} where {% endfor %} is expected");
  EXPECT_EQ(Fault("{% include 'etc' %}"),
            "t: line 1: the statement 'include' is not one that chat templates have");
  EXPECT_EQ(Fault("{% 3 %}"), "t: line 1: expected the name of a statement, found '3'");
  EXPECT_EQ(Fault("{{ 'a\n }}"), "t: line 1: a string has no closing '");
  EXPECT_EQ(Fault("{{ (1] }}"), "t: line 1: unexpected ']', expected ')'");
  EXPECT_EQ(Fault("{{ [1] + 'a' }}"), "t: line 1: unsupported operands of +: 'list' and 'str'");
  EXPECT_EQ(Fault("{% macro m() %}\n{{ 1 + none }}{% endmacro %}\n{{ m() }}"),
            "t: line 2: unsupported operands of +: 'int' and 'NoneType'");
  EXPECT_EQ(Fault("\xFF"), "t: line 1: the template is not valid UTF-8");
}

ChatOptions Small() {
  ChatOptions options;
  options.limits.steps = 200'000;
  options.limits.memory = 1'000'000;
  return options;
}

TEST(TemplateLimits, EndlessWorkEnds) {
  const std::string deep(5000, '(');
  EXPECT_EQ(Fault("{{ " + deep, Small()), "t: line 1: nests deeper than 250 levels");
  std::string attributes = "{{ x";
  for (int i = 0; i < 5000; ++i) attributes += ".a";
  EXPECT_EQ(Fault(attributes + " }}", Small()), "t: line 1: nests deeper than 250 levels");
  std::string ifs;
  for (int i = 0; i < 5000; ++i) ifs += "{% if true %}";
  EXPECT_EQ(Fault(ifs, Small()), "t: line 1: nests deeper than 250 levels");
  std::string nots = "{{ ";
  for (int i = 0; i < 5000; ++i) nots += "not ";
  EXPECT_EQ(Fault(nots, Small()), "t: line 1: nests deeper than 250 levels");

  EXPECT_EQ(Fault("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", Small()),
            "t: line 1: more than 800 evaluations wait for each other; does a macro call itself "
            "for ever?");
  EXPECT_EQ(Fault("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
                  Small()),
            "t: line 1: it takes more than 200000 steps");
  EXPECT_EQ(Fault("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
                  "{{ f(60) }}",
                  Small()),
            "t: line 1: it takes more than 200000 steps");
}

TEST(TemplateLimits, MemoryIsBounded) {
  const std::string memory = "t: line 1: its values need more than 1000000 bytes";
  EXPECT_EQ(Fault("{{ 'a' * 10 ** 12 }}", Small()).substr(0, 13), "t: line 1: it");
  EXPECT_EQ(Fault("{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(99) %}"
                  "{% set ns.s = ns.s + ns.s %}{% endfor %}",
                  Small()),
            memory);
  EXPECT_EQ(Fault("{{ ([1] * 10 ** 9) | length }}", Small()),
            "t: line 1: a list times 1000000000 is too long");
  EXPECT_EQ(Fault("{{ ([1] * 10 ** 5) | length }}", Small()), memory);
  // Where each character begins.
  EXPECT_EQ(Fault("{{ ('a' * 150000)[::150000] }}", Small()), memory);
  EXPECT_EQ(Fault("{{ ('a' * 100000)[::100000] }}", Small()), "rendered: a");
  EXPECT_EQ(Fault("{{ [1] | tojson(indent=10 ** 10) }}", Small()), memory);
  EXPECT_EQ(Fault("{{ 'a' | indent(10 ** 10) }}", Small()), memory);
  EXPECT_EQ(Fault("{{ [1] | batch(10 ** 12, 1) | list }}", Small()), memory);
  EXPECT_EQ(Fault("{% set ns = namespace(l=[]) %}{% for i in range(9999) %}"
                  "{% set ns.l = [ns.l] %}{% endfor %}",
                  Small()),
            "t: line 1: lists and dicts hold each other more than 100 levels deep");
  // A list that doubles by reference is small; printing it is not.
  std::string doubled =
      "{% set ns = namespace(l=['xxxxxxxx']) %}{% for i in range(60) %}"
      "{% set ns.l = [ns.l, ns.l] %}{% endfor %}";
  EXPECT_EQ(Fault(doubled + "{{ ns.l }}", Small()), memory);
  EXPECT_EQ(Fault(doubled + "{{ ns.l | tojson }}", Small()), memory);
  EXPECT_EQ(Fault(doubled + "{% set a = ns.l %}" + doubled + "{{ ns.l == a }}", Small()),
            "t: line 1: it takes more than 200000 steps");
  ChatOptions small = Small();
  small.limits.output = 1000;
  EXPECT_EQ(Fault("{% for i in range(2000) %}x{% endfor %}", small),
            "t: line 1: the text is longer than 1000 bytes");
}

TEST(TemplateLimits, CirclesAreRefusedOrEnd) {
  EXPECT_EQ(Fault("{% set l = [] %}{{ l.append(l) }}"),
            "t: line 1: a list that is part of another value cannot grow");
  EXPECT_EQ(Fault("{% set l = [] %}{{ l.append([l]) }}"),
            "t: line 1: a list that is part of another value cannot grow");
  EXPECT_EQ(Fault("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}").substr(0, 22),
            "t: line 1: more than 8");
  EXPECT_EQ(Fault("{% set l = [1, 2, 3, 4] %}{% for x in l %}{{ l.pop() }}{% endfor %}"),
            "rendered: 43");
}

TEST(TemplateSandbox, NothingButTheTables) {
  EXPECT_EQ(Fault("{{ ''.__class__ }}{{ [].__len__ }}{{ range.__globals__ }}"), "rendered: ");
  EXPECT_EQ(Fault("{{ ''.__class__.__mro__ }}"),
            "t: line 1: 'str object' has no attribute '__class__'");
  EXPECT_EQ(Fault("{{ strftime_now is defined }}"), "rendered: False");
  EXPECT_EQ(Fault("{{ self }}{{ cycler }}{{ lipsum }}"), "rendered: ");
}

TEST(Template, DictsAreSortedByWhatIsAsked) {
  const auto rendered = [](const std::string& arguments) {
    const std::string source = "{{ {'b': 1, 'a': 3, 'c': 2} | dictsort" + arguments + " }}";
    return ChatTemplate::Parse(source, "t").Render(ordered_json::array()).bytes();
  };
  const std::string by_key = "[('a', 3), ('b', 1), ('c', 2)]";
  EXPECT_EQ(rendered(""), by_key);
  EXPECT_EQ(rendered("(by='key')"), by_key);
  EXPECT_EQ(rendered("(by='value')"), "[('b', 1), ('c', 2), ('a', 3)]");
  EXPECT_EQ(rendered("(reverse=true)"), "[('c', 2), ('b', 1), ('a', 3)]");
}

TEST(Template, IsRenderedTwiceAlike) {
  const auto chat = ChatTemplate::Parse(
      "{% set ns = namespace(l=[]) %}{{ ns.l.append(1) }}{{ ns.l }}{{ messages[0].l.append(2) }}",
      "t");
  const ordered_json messages = {{{"l", ordered_json::array()}}};
  // A list of the conversation is part of it and stays as it is.
  EXPECT_THROW(chat.Render(messages), Error);
  const auto other = ChatTemplate::Parse("{% set l = [1] %}{{ l.append(2) }}{{ l }}", "t");
  EXPECT_EQ(other.Render(messages).bytes(), "None[1, 2]");
  EXPECT_EQ(other.Render(messages).bytes(), "None[1, 2]");
}

}  // namespace
}  // namespace darkhorse
