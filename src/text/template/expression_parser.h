// The half of the parser that reads expressions; parser.cc, which reads statements, includes it.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/token_reader.h"
#include "text/template/tree.h"

namespace darkhorse::jinja {

// Recursive descent in the order of jinja2's grammar. Two peculiarities are kept: words are
// reserved only where they mean something, and `not` binds looser than a comparison.
class ExpressionParser : protected TokenReader {
 protected:
  using Kind = Expr::Kind;

  explicit ExpressionParser(std::string_view source) : TokenReader(source) {}

  ExprPtr Expression() { return Condition(); }

  struct TupleRules {
    bool parentheses = false;  // around it, so that it may be empty
    bool conditions = true;    // `a if b else c` is allowed
  };
  // An expression, or several with commas between them: a tuple.
  ExprPtr Tuple(TupleRules rules) {
    const int line = Now().line;
    std::vector<ExprPtr> parts;
    bool is_tuple = false;
    while (true) {
      if (!parts.empty()) Expect(",");
      if (Now().kind == Token::Kind::kVariableEnd || Now().kind == Token::Kind::kBlockEnd ||
          Now().Is(")")) {
        break;
      }
      parts.push_back(rules.conditions ? Expression() : Or());
      if (!Now().Is(",")) break;
      is_tuple = true;
    }
    if (!is_tuple) {
      if (!parts.empty()) return std::move(parts[0]);
      if (!rules.parentheses) Fault("expected an expression, found " + Describe(Now()));
    }
    return Node(Kind::kTuple, line, std::move(parts));
  }

  // filter (| filter)*, whose input is the text of a block.
  ExprPtr Filters() {
    ExprPtr node = Filter(nullptr);
    while (Skip("|")) node = Filter(std::move(node));
    return node;
  }

  std::vector<MacroDefinition*> macros_;  // whose bodies are being read, outermost first

 private:
  static ExprPtr Node(Kind kind, int line, std::vector<ExprPtr> parts = {}) {
    auto node = std::make_unique<Expr>(Expr{.kind = kind, .line = line});
    for (const ExprPtr& part : parts) {
      if (part != nullptr) node->depth = std::max(node->depth, part->depth + 1);
    }
    if (node->depth > kMaxTreeDepth) FaultTooDeep(line);
    node->parts = std::move(parts);
    return node;
  }
  template <typename... Parts>
  static std::vector<ExprPtr> List(Parts... parts) {
    std::vector<ExprPtr> list;
    (list.push_back(std::move(parts)), ...);
    return list;
  }

  ExprPtr Condition() {
    const Level level(this);
    const int line = Now().line;
    ExprPtr value = Or();
    while (SkipName("if")) {
      ExprPtr test = Or();
      ExprPtr otherwise = SkipName("else") ? Condition() : nullptr;
      value = Node(Kind::kCondition, line,
                   List(std::move(value), std::move(test), std::move(otherwise)));
    }
    return value;
  }

  // operand (separator operand)*, as one node of all operands.
  template <typename Operand, typename Separator>
  ExprPtr Chain(Kind kind, const Operand& operand, const Separator& separator) {
    const int line = Now().line;
    ExprPtr first = operand();
    std::vector<Operator> ops;
    std::vector<ExprPtr> parts;
    for (Operator op{}; separator(&op);) {
      if (parts.empty()) parts.push_back(std::move(first));
      ops.push_back(op);
      parts.push_back(operand());
    }
    if (parts.empty()) return first;
    ExprPtr node = Node(kind, line, std::move(parts));
    node->ops = std::move(ops);
    return node;
  }

  ExprPtr Or() {
    return Chain(
        Kind::kOr, [&] { return And(); }, [&](Operator*) { return SkipName("or"); });
  }
  ExprPtr And() {
    return Chain(
        Kind::kAnd, [&] { return Not(); }, [&](Operator*) { return SkipName("and"); });
  }

  ExprPtr Not() {
    const Level level(this);
    const int line = Now().line;
    if (SkipName("not")) return Node(Kind::kNot, line, List(Not()));
    return Comparison();
  }

  bool SkipOperator(std::initializer_list<std::pair<std::string_view, Operator>> known,
                    Operator* op) {
    for (const auto& [spelling, meaning] : known) {
      if (!Skip(spelling)) continue;
      *op = meaning;
      return true;
    }
    return false;
  }

  ExprPtr Comparison() {
    return Chain(
        Kind::kCompare, [&] { return Sum(); },
        [&](Operator* op) {
          if (SkipName("in")) {
            *op = Operator::kIn;
            return true;
          }
          if (Now().IsName("not") && Ahead().IsName("in")) {
            Next();
            Next();
            *op = Operator::kNotIn;
            return true;
          }
          return SkipOperator({{"==", Operator::kEqual},
                               {"!=", Operator::kNotEqual},
                               {"<", Operator::kLess},
                               {"<=", Operator::kLessEqual},
                               {">", Operator::kGreater},
                               {">=", Operator::kGreaterEqual}},
                              op);
        });
  }

  ExprPtr Sum() {
    return Chain(
        Kind::kBinary, [&] { return Concat(); },
        [&](Operator* op) {
          return SkipOperator({{"+", Operator::kAdd}, {"-", Operator::kSubtract}}, op);
        });
  }
  ExprPtr Concat() {
    return Chain(
        Kind::kConcat, [&] { return Product(); }, [&](Operator*) { return Skip("~"); });
  }
  ExprPtr Product() {
    return Chain(
        Kind::kBinary, [&] { return Power(); },
        [&](Operator* op) {
          return SkipOperator({{"*", Operator::kMultiply},
                               {"/", Operator::kDivide},
                               {"//", Operator::kFloorDivide},
                               {"%", Operator::kModulo}},
                              op);
        });
  }
  ExprPtr Power() {
    return Chain(
        Kind::kBinary, [&] { return Unary(/*with_filters=*/true); },
        [&](Operator* op) {
          return SkipOperator({{"**", Operator::kPower}}, op);
        });
  }

  ExprPtr Unary(bool with_filters) {
    const Level level(this);
    const int line = Now().line;
    ExprPtr node;
    if (Skip("-")) {
      node = Node(Kind::kNegative, line, List(Unary(false)));
    } else if (Skip("+")) {
      node = Node(Kind::kPositive, line, List(Unary(false)));
    } else {
      node = Primary();
    }
    node = Postfix(std::move(node));
    return with_filters ? FiltersAndTests(std::move(node)) : std::move(node);
  }

  ExprPtr Constant(Value value, int line) {
    ExprPtr node = Node(Kind::kConstant, line);
    node->constant = std::move(value);
    return node;
  }

  ExprPtr Primary() {
    const Token& token = Now();
    const int line = token.line;
    switch (token.kind) {
      case Token::Kind::kName:
        return Name();
      case Token::Kind::kString: {
        std::string text;
        while (Now().kind == Token::Kind::kString) text += Next().text;
        return Constant(ConstantText(text), line);
      }
      case Token::Kind::kInteger:
        return Constant({Next().integer}, line);
      case Token::Kind::kFloat:
        return Constant({Next().number}, line);
      default:
        break;
    }
    if (Skip("(")) {
      ExprPtr inner = Tuple({.parentheses = true});
      Expect(")");
      return inner;
    }
    if (Skip("["))
      return Node(Kind::kList, line,
                  Items("]", [&](auto* parts) { parts->push_back(Expression()); }));
    if (Skip("{"))
      return Node(Kind::kDict, line, Items("}", [&](auto* parts) {
                    parts->push_back(Expression());
                    Expect(":");
                    parts->push_back(Expression());
                  }));
    Fault("unexpected " + Describe(token));
  }

  ExprPtr Name() {
    const int line = Now().line;
    const std::string name = Next().text;
    if (name == "true" || name == "True") return Constant({true}, line);
    if (name == "false" || name == "False") return Constant({false}, line);
    if (name == "none" || name == "None") return Constant({None{}}, line);
    for (MacroDefinition* macro : macros_) {
      macro->takes_varargs |= name == "varargs";
      macro->takes_kwargs |= name == "kwargs";
      macro->takes_caller |= name == "caller";
    }
    ExprPtr node = Node(Kind::kName, line);
    node->name = name;
    return node;
  }

  // Items between commas up to `close`; a last comma is allowed.
  template <typename Item>
  std::vector<ExprPtr> Items(std::string_view close, const Item& item) {
    std::vector<ExprPtr> parts;
    while (!Now().Is(close)) {
      if (!parts.empty()) Expect(",");
      if (Now().Is(close)) break;
      item(&parts);
    }
    Expect(close);
    return parts;
  }

  ExprPtr Postfix(ExprPtr node) {
    while (true) {
      const int line = Now().line;
      if (Skip(".")) {
        if (Now().kind == Token::Kind::kInteger) {
          node = Node(Kind::kItem, line, List(std::move(node), Constant({Next().integer}, line)));
          continue;
        }
        node = Node(Kind::kAttribute, line, List(std::move(node)));
        node->name = ExpectName();
      } else if (Skip("[")) {
        node = Subscript(std::move(node), line);
      } else if (Now().Is("(")) {
        node = Call(std::move(node));
      } else {
        return node;
      }
    }
  }

  ExprPtr Subscript(ExprPtr node, int line) {
    ExprPtr bounds[3];
    if (!Now().Is(":")) {
      bounds[0] = Expression();
      if (Now().Is(",")) {  // a tuple as a key
        std::vector<ExprPtr> key = List(std::move(bounds[0]));
        while (Skip(",")) key.push_back(Expression());
        bounds[0] = Node(Kind::kTuple, line, std::move(key));
      }
      if (Skip("]")) return Node(Kind::kItem, line, List(std::move(node), std::move(bounds[0])));
    }
    for (int i = 1; i < 3 && Skip(":"); ++i) {
      if (!Now().Is(":") && !Now().Is("]")) bounds[i] = Expression();
    }
    Expect("]");
    return Node(
        Kind::kSlice, line,
        List(std::move(node), std::move(bounds[0]), std::move(bounds[1]), std::move(bounds[2])));
  }

  // Appends `(a, b, name=c)` to the node's parts and keywords.
  void ParseArguments(std::vector<ExprPtr>* parts, std::vector<std::string>* keywords) {
    const int line = Now().line;
    Expect("(");
    bool first = true;
    while (!Now().Is(")")) {
      if (!first) Expect(",");
      first = false;
      if (Now().Is(")")) break;
      if (Now().Is("*") || Now().Is("**")) Fault("unpacking arguments (*, **) is not supported");
      if (Now().kind == Token::Kind::kName && Ahead().Is("=")) {
        keywords->push_back(Next().text);
        Next();
      } else if (!keywords->empty()) {
        FaultAt(line, "an argument without a name stands behind one with a name");
      }
      parts->push_back(Expression());
    }
    Expect(")");
  }

  // The node of these parts, with the arguments that follow if there are any.
  ExprPtr WithArguments(Kind kind, int line, std::vector<ExprPtr> parts) {
    std::vector<std::string> keywords;
    if (Now().Is("(")) ParseArguments(&parts, &keywords);
    ExprPtr node = Node(kind, line, std::move(parts));
    node->keywords = std::move(keywords);
    return node;
  }

  ExprPtr Call(ExprPtr callee) {
    return WithArguments(Kind::kCall, Now().line, List(std::move(callee)));
  }

  ExprPtr FiltersAndTests(ExprPtr node) {
    while (true) {
      if (Now().Is("|")) {
        Next();
        node = Filter(std::move(node));
      } else if (Now().IsName("is")) {
        Next();
        node = Test(std::move(node));
      } else if (Now().Is("(")) {
        node = Call(std::move(node));
      } else {
        return node;
      }
    }
  }

  ExprPtr Filter(ExprPtr input) {
    const int line = Now().line;
    const std::string name = ExpectName();
    const FilterFunction filter = FindFilter(name);
    if (filter == nullptr) {
      FaultAt(line, fmt::format("no filter '{}'{}", Printable(name), FilterHint(name)));
    }
    ExprPtr node = WithArguments(Kind::kFilter, line, List(std::move(input)));
    node->name = name;
    node->filter = filter;
    return node;
  }

  ExprPtr Test(ExprPtr value) {
    const int line = Now().line;
    const bool negated = SkipName("not");
    const std::string name = ExpectName();
    const TestFunction test = FindTest(name);
    if (test == nullptr) {
      FaultAt(line, fmt::format("no test '{}'{}", Printable(name), TestHint(name)));
    }
    ExprPtr node;
    const Token& token = Now();
    if (token.Is("(")) {
      node = WithArguments(Kind::kTest, line, List(std::move(value)));
    } else {
      std::vector<ExprPtr> parts = List(std::move(value));
      const bool begins_argument =
          token.kind == Token::Kind::kString || token.kind == Token::Kind::kInteger ||
          token.kind == Token::Kind::kFloat || token.Is("[") || token.Is("{") ||
          (token.kind == Token::Kind::kName && token.text != "else" && token.text != "or" &&
           token.text != "and");
      if (begins_argument) {
        if (token.IsName("is")) Fault("tests cannot be chained with 'is'");
        parts.push_back(Postfix(Primary()));
      }
      node = Node(Kind::kTest, line, std::move(parts));
    }
    node->name = name;
    node->test = test;
    return negated ? Node(Kind::kNot, line, List(std::move(node))) : std::move(node);
  }
};

}  // namespace darkhorse::jinja
