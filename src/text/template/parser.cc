// Statements; expression_parser.h has expressions.
#include <fmt/format.h>

#include "text/template/expression_parser.h"

namespace darkhorse::jinja {

namespace {

class Parser : private ExpressionParser {
 public:
  explicit Parser(std::string_view source) : ExpressionParser(source) {}

  Block Run() {
    Block body = Statements({});
    CHECK(Now().kind == Token::Kind::kEnd);
    return body;
  }

 private:
  // Until a block that begins with one of `ends`, whose name is the token that comes next; without
  // `ends`, until the template ends.
  Block Statements(std::initializer_list<std::string_view> ends) {
    Block body;
    const int begin = Now().line;
    while (true) {
      const int line = Now().line;
      if (Now().kind == Token::Kind::kEnd) {
        if (ends.size() == 0) return body;
        FaultAt(begin, fmt::format("this block has no {{% {} %}}", *(ends.end() - 1)));
      }
      if (Now().kind == Token::Kind::kData) {
        body.push_back({.kind = Statement::Kind::kData, .line = line});
        body.back().text = ConstantText(Next().text);
      } else if (Now().kind == Token::Kind::kVariableBegin) {
        Next();
        body.push_back({.kind = Statement::Kind::kPrint, .line = line, .expr = Tuple({})});
        Expect(Token::Kind::kVariableEnd, "'}}'");
      } else {
        Expect(Token::Kind::kBlockBegin, "a block");
        for (const std::string_view end : ends) {
          if (Now().IsName(end)) return body;
        }
        ParseStatement(&body, ends.size() == 0 ? std::string_view() : *(ends.end() - 1));
        ExpectBlockEnd();
      }
    }
  }

  // The body behind the head of a block: `%}`, statements, `{% end`, where the end's name is next.
  Block Body(std::initializer_list<std::string_view> ends) {
    Skip(":");
    ExpectBlockEnd();
    return Statements(ends);
  }
  Block WholeBody(std::string_view end) {
    Block body = Body({end});
    Next();
    return body;
  }

  void ParseStatement(Block* out, std::string_view expected_end) {
    const Level level(this);
    const int line = Now().line;
    if (Now().kind != Token::Kind::kName) {
      Fault("expected the name of a statement, found " + Describe(Now()));
    }
    const std::string name = Next().text;
    Statement statement{.kind = Statement::Kind::kScope, .line = line};
    if (name == "if") {
      ParseIf(&statement);
    } else if (name == "for") {
      ParseFor(&statement);
    } else if (name == "set") {
      ParseSet(&statement);
    } else if (name == "macro") {
      ParseMacro(&statement);
    } else if (name == "call") {
      ParseCall(&statement);
    } else if (name == "filter") {
      statement.kind = Statement::Kind::kFilter;
      statement.expr = Filters();
      statement.body = WholeBody("endfilter");
    } else if (name == "with") {
      ParseWith(&statement);
    } else if (name == "generation") {  // marks what the assistant wrote, for training on it alone
      statement.body = WholeBody("endgeneration");
    } else if (name == "break" || name == "continue") {
      if (loops_ == 0) FaultAt(line, name + " stands outside of a loop");
      statement.kind = name == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue;
    } else if (!expected_end.empty() && name.starts_with("end")) {
      FaultAt(line, fmt::format("found {{% {} %}} where {{% {} %}} is expected", Printable(name),
                                expected_end));
    } else {
      FaultAt(line, fmt::format("the statement '{}' is not one that chat templates have",
                                Printable(name)));
    }
    out->push_back(std::move(statement));
  }

  void ParseIf(Statement* statement) {
    statement->kind = Statement::Kind::kIf;
    while (true) {
      ExprPtr condition = Tuple({.conditions = false});
      Block body = Body({"elif", "else", "endif"});
      statement->branches.emplace_back(std::move(condition), std::move(body));
      const std::string name = Next().text;
      if (name == "elif") continue;
      if (name == "else") statement->branches.emplace_back(nullptr, WholeBody("endif"));
      return;
    }
  }

  void ParseFor(Statement* statement) {
    statement->kind = Statement::Kind::kFor;
    statement->targets.push_back(AssignTarget(/*fields=*/false, "in"));
    if (!SkipName("in")) Fault("expected 'in', found " + Describe(Now()));
    statement->expr = Tuple({.conditions = false});
    if (SkipName("if")) statement->condition = Expression();
    if (Now().IsName("recursive")) Fault("recursive loops are not supported");
    ++loops_;
    statement->body = Body({"else", "endfor"});
    --loops_;
    if (Next().text == "else") statement->branches.emplace_back(nullptr, WholeBody("endfor"));
  }

  void ParseSet(Statement* statement) {
    statement->targets.push_back(AssignTarget(/*fields=*/true, ""));
    if (Skip("=")) {
      statement->kind = Statement::Kind::kSet;
      statement->expr = Tuple({});
      return;
    }
    statement->kind = Statement::Kind::kSetBlock;
    if (Skip("|")) statement->expr = Filters();
    statement->body = WholeBody("endset");
  }

  // A name, a field of a namespace where `fields`, or several with commas between them; `end` is
  // the word behind it, if any.
  Target AssignTarget(bool fields, std::string_view end) {
    const Level level(this);
    Target all;
    all.line = Now().line;
    bool is_tuple = false;
    while (true) {
      if (!end.empty() && Now().IsName(end)) break;
      if (Now().kind != Token::Kind::kName && !Now().Is("(")) break;
      all.parts.push_back(OneTarget(fields));
      if (!Skip(",")) break;
      is_tuple = true;
    }
    if (all.parts.empty()) Fault("expected a name to assign to, found " + Describe(Now()));
    if (is_tuple) return all;
    Target only = std::move(all.parts[0]);
    return only;
  }

  Target OneTarget(bool fields) {
    if (Skip("(")) {
      Target inner = AssignTarget(/*fields=*/false, "");
      Expect(")");
      return inner;
    }
    Target target;
    target.line = Now().line;
    target.name = ExpectName();
    for (const char* constant : {"true", "True", "false", "False", "none", "None"}) {
      if (target.name == constant) FaultAt(target.line, "cannot assign to " + target.name);
    }
    if (fields && Skip(".")) target.field = ExpectName();
    return target;
  }

  // A macro's body is no part of the loop that it stands in.
  Block MacroBody(MacroDefinition* macro, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    macros_.push_back(macro);
    Block body = WholeBody(end);
    macros_.pop_back();
    loops_ = loops;
    return body;
  }

  void Parameters(MacroDefinition* macro) {
    Expect("(");
    bool first = true;
    while (!Now().Is(")")) {
      if (!first) Expect(",");
      first = false;
      macro->parameters.push_back(ExpectName());
      if (Skip("=")) {
        macro->defaults.push_back(Expression());
      } else if (!macro->defaults.empty()) {
        Fault("a parameter without a default stands behind one with a default");
      }
    }
    Expect(")");
  }

  void ParseMacro(Statement* statement) {
    statement->kind = Statement::Kind::kMacro;
    statement->macro = std::make_unique<MacroDefinition>();
    statement->macro->name = ExpectName();
    Parameters(statement->macro.get());
    statement->macro->body = MacroBody(statement->macro.get(), "endmacro");
  }

  void ParseCall(Statement* statement) {
    statement->kind = Statement::Kind::kCall;
    statement->macro = std::make_unique<MacroDefinition>();
    statement->macro->name = "caller";
    if (Now().Is("(")) Parameters(statement->macro.get());
    statement->expr = Expression();
    if (statement->expr->kind != Kind::kCall) Fault("expected a call of a macro");
    statement->macro->body = MacroBody(statement->macro.get(), "endcall");
  }

  void ParseWith(Statement* statement) {
    statement->kind = Statement::Kind::kWith;
    while (Now().kind != Token::Kind::kBlockEnd && !Now().Is(":")) {
      if (!statement->targets.empty()) Expect(",");
      Target target;
      target.line = Now().line;
      target.name = ExpectName();
      statement->targets.push_back(std::move(target));
      Expect("=");
      statement->values.push_back(Expression());
    }
    statement->body = WholeBody("endwith");
  }

  int loops_ = 0;  // around the statement, within its macro
};

}  // namespace

Block ParseTemplate(std::string_view source) { return Parser(source).Run(); }

}  // namespace darkhorse::jinja
