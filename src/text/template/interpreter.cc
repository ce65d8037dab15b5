#include "text/template/interpreter.h"

#include <fmt/format.h>

#include <unordered_map>

#include "text/template/spell.h"

namespace darkhorse::jinja {

// The variables of a block; those of the blocks around it are its parents'.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::unordered_map<std::string, Value> variables;
  Charge charge;
};

// A macro with the variables it was defined among.
struct Macro {
  const MacroDefinition* definition;
  std::shared_ptr<Scope> scope;
};

namespace {

using ScopePtr = std::shared_ptr<Scope>;

class Interpreter {
 public:
  explicit Interpreter(Context* context) : context_(*context) {}

  MarkedText Run(const Block& body, const Template::Variables& variables) {
    scope_ = NewScope(nullptr);
    for (const auto& [name, value] : variables) Set(name, value);
    TextBuilder out(&context_);
    out_ = &out;
    Execute(body);
    return out.Take();
  }

  // Of what was evaluated last.
  int line() const { return line_; }

 private:
  enum class Flow { kOn, kBreak, kContinue };

  // --- variables

  ScopePtr NewScope(ScopePtr parent) {
    auto scope = std::make_shared<Scope>();
    scope->charge = Charge(context_.meter(), sizeof(Scope));
    scope->parent = std::move(parent);
    return scope;
  }

  void Set(const std::string& name, Value value) {
    const auto [place, is_new] = scope_->variables.insert_or_assign(name, std::move(value));
    if (is_new) scope_->charge.Grow(sizeof(Value) + name.size() + 64);
  }

  Value Get(const std::string& name) {
    for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
      const auto found = scope->variables.find(name);
      if (found != scope->variables.end()) return found->second;
    }
    const Function* function = FindGlobal(name);
    if (function != nullptr && (name != "strftime_now" || context_.now())) return {function};
    return UndefinedBecause(fmt::format("'{}' is undefined", name));
  }

  // Runs `body` with variables of its own below `parent`, and then those from before again.
  template <typename Body>
  auto Within(ScopePtr parent, const Body& body) {
    struct Restore {
      ScopePtr* place;
      ScopePtr before;
      ~Restore() { *place = std::move(before); }
    };
    ScopePtr inner = NewScope(std::move(parent));
    const Restore restore{&scope_, std::exchange(scope_, std::move(inner))};
    return body();
  }

  // What `body` prints.
  template <typename Body>
  MarkedText Captured(const Body& body) {
    struct Restore {
      TextBuilder** place;
      TextBuilder* before;
      ~Restore() { *place = before; }
    };
    TextBuilder out(&context_);
    const Restore restore{&out_, std::exchange(out_, &out)};
    body();
    return out.Take();
  }

  void Assign(const Target& target, Value value) {
    line_ = target.line;
    if (target.name.empty()) {
      const auto items = Iterate(context_, value);
      if (items->items.size() != target.parts.size()) {
        Fail("{} values for {} names", items->items.size(), target.parts.size());
      }
      for (size_t i = 0; i < target.parts.size(); ++i) Assign(target.parts[i], items->items[i]);
      return;
    }
    if (target.field.empty()) return Set(target.name, std::move(value));
    Namespace* space = Get(target.name).space();
    if (space == nullptr) {
      Fail("cannot set '{}.{}': '{}' is no namespace", target.name, target.field, target.name);
    }
    if (target.field[0] == '_') Fail("a field of a namespace may not begin with '_'");
    SetField(context_, space, target.field, std::move(value));
  }

  // --- statements

  Flow Execute(const Block& body) {
    const Context::Nested nested(&context_);
    for (const Statement& statement : body) {
      const Flow flow = Execute(statement);
      if (flow != Flow::kOn) return flow;
    }
    return Flow::kOn;
  }

  Flow Execute(const Statement& statement) {
    context_.Step();
    line_ = statement.line;
    switch (statement.kind) {
      case Statement::Kind::kData:
        Print(statement.text);
        return Flow::kOn;
      case Statement::Kind::kPrint:
        Print(Evaluate(*statement.expr));
        return Flow::kOn;
      case Statement::Kind::kSet:
        Assign(statement.targets[0], Evaluate(*statement.expr));
        return Flow::kOn;
      case Statement::Kind::kSetBlock:
        Assign(statement.targets[0], Filtered(statement));
        return Flow::kOn;
      case Statement::Kind::kFor:
        ExecuteFor(statement);
        return Flow::kOn;
      case Statement::Kind::kIf:
        return ExecuteIf(statement);
      case Statement::Kind::kMacro:
        Set(statement.macro->name, NewMacro(*statement.macro));
        return Flow::kOn;
      case Statement::Kind::kCall:
        ExecuteCall(statement);
        return Flow::kOn;
      case Statement::Kind::kFilter:
        Print(Filtered(statement));
        return Flow::kOn;
      case Statement::Kind::kWith:
        return ExecuteWith(statement);
      case Statement::Kind::kScope:
        return Within(scope_, [&] { return Execute(statement.body); });
      case Statement::Kind::kBreak:
        return Flow::kBreak;
      case Statement::Kind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kOn;
  }

  void Print(const Value& value) {
    AppendStr(context_, value, out_);
    if (static_cast<int64_t>(out_->size()) > context_.limits().output) {
      Fail("the text is longer than {} bytes", context_.limits().output);
    }
  }

  // The text of a block through its filters, if it has any.
  Value Filtered(const Statement& statement) {
    MarkedText text = Captured([&] { Within(scope_, [&] { return Execute(statement.body); }); });
    const Value value = NewText(context_, std::move(text));
    return statement.expr == nullptr ? value : EvaluateFilter(*statement.expr, &value);
  }

  Flow ExecuteIf(const Statement& statement) {
    for (const auto& [condition, body] : statement.branches) {
      if (condition == nullptr || IsTrue(Evaluate(*condition))) return Execute(body);
    }
    return Flow::kOn;
  }

  void ExecuteFor(const Statement& statement) {
    const Target& target = statement.targets[0];
    const Value over = Evaluate(*statement.expr);
    line_ = statement.line;
    std::shared_ptr<const List> items = Iterate(context_, over);
    if (statement.condition != nullptr) {
      std::vector<Value> kept;
      for (const Value& item : std::vector<Value>(items->items)) {
        const bool keep = Within(scope_, [&] {
          Assign(target, item);
          return IsTrue(Evaluate(*statement.condition));
        });
        if (keep) kept.push_back(item);
      }
      items = std::get<std::shared_ptr<List>>(NewList(context_, std::move(kept)).v);
    }
    bool finished = false;
    // The body may shorten the list that it goes over.
    for (size_t i = 0; i < items->items.size(); ++i) {
      const Flow flow = Within(scope_, [&] {
        Assign(target, items->items[i]);
        scope_->variables["loop"] = {
            std::make_shared<const Loop>(Loop{.items = items, .index = i})};
        return Execute(statement.body);
      });
      if (flow == Flow::kBreak) break;
      finished |= flow == Flow::kOn;
    }
    // jinja2 takes the else where no round came to its end: there was none, or all were cut short.
    if (!finished && !statement.branches.empty()) {
      Within(scope_, [&] { return Execute(statement.branches[0].second); });
    }
  }

  Flow ExecuteWith(const Statement& statement) {
    std::vector<Value> values;
    for (const ExprPtr& value : statement.values) values.push_back(Evaluate(*value));
    return Within(scope_, [&] {
      for (size_t i = 0; i < values.size(); ++i) Assign(statement.targets[i], values[i]);
      return Execute(statement.body);
    });
  }

  Value NewMacro(const MacroDefinition& definition) {
    const Charge charge(context_.meter(), sizeof(Macro));
    return {static_cast<const Macro*>(
        context_.Own(std::make_shared<Macro>(Macro{&definition, scope_})))};
  }

  void ExecuteCall(const Statement& statement) {
    const Value caller = NewMacro(*statement.macro);
    Print(EvaluateCall(*statement.expr, &caller));
  }

  // --- expressions

  Value Evaluate(const Expr& expr) {
    const Context::Nested nested(&context_);
    context_.Step();
    line_ = expr.line;
    switch (expr.kind) {
      case Expr::Kind::kConstant:
        return expr.constant;
      case Expr::Kind::kName:
        return Get(expr.name);
      case Expr::Kind::kList:
        return NewList(context_, EvaluateAll(expr.parts));
      case Expr::Kind::kTuple:
        return NewList(context_, EvaluateAll(expr.parts), List::Kind::kTuple);
      case Expr::Kind::kDict:
        return EvaluateDict(expr);
      case Expr::Kind::kAttribute:
        return Attribute(context_, Evaluate(*expr.parts[0]), expr.name);
      case Expr::Kind::kItem: {
        const Value value = Evaluate(*expr.parts[0]);
        return Item(context_, value, Evaluate(*expr.parts[1]));
      }
      case Expr::Kind::kSlice:
        return EvaluateSlice(expr);
      case Expr::Kind::kCall:
        return EvaluateCall(expr, nullptr);
      case Expr::Kind::kFilter:
        return EvaluateFilter(expr, nullptr);
      case Expr::Kind::kTest: {
        const Value value = Evaluate(*expr.parts[0]);
        Arguments arguments = EvaluateArguments(expr);
        return {expr.test(context_, value, arguments)};
      }
      case Expr::Kind::kNot:
        return {!IsTrue(Evaluate(*expr.parts[0]))};
      case Expr::Kind::kNegative:
        return Negative(Evaluate(*expr.parts[0]));
      case Expr::Kind::kPositive:
        return Negative(Negative(Evaluate(*expr.parts[0])));
      case Expr::Kind::kAnd:
      case Expr::Kind::kOr:
        return EvaluateLogic(expr);
      case Expr::Kind::kConcat:
        return EvaluateConcat(expr);
      case Expr::Kind::kBinary:
        return EvaluateBinary(expr);
      case Expr::Kind::kCompare:
        return EvaluateCompare(expr);
      case Expr::Kind::kCondition:
        if (IsTrue(Evaluate(*expr.parts[1]))) return Evaluate(*expr.parts[0]);
        if (expr.parts[2] != nullptr) return Evaluate(*expr.parts[2]);
        return UndefinedBecause("an if without else was false");
    }
    return {};
  }

  std::vector<Value> EvaluateAll(const std::vector<ExprPtr>& parts) {
    std::vector<Value> values;
    values.reserve(parts.size());
    for (const ExprPtr& part : parts) values.push_back(Evaluate(*part));
    return values;
  }

  Value EvaluateDict(const Expr& expr) {
    DictBuilder dict(&context_);
    for (size_t i = 0; i < expr.parts.size(); i += 2) {
      const Value key = Evaluate(*expr.parts[i]);
      dict.Set(key, Evaluate(*expr.parts[i + 1]));
    }
    return dict.Take();
  }

  Value EvaluateSlice(const Expr& expr) {
    const Value value = Evaluate(*expr.parts[0]);
    Value bounds[3];
    const Value* given[3] = {};
    for (int i = 0; i < 3; ++i) {
      if (expr.parts[i + 1] == nullptr) continue;
      bounds[i] = Evaluate(*expr.parts[i + 1]);
      given[i] = &bounds[i];
    }
    return Slice(context_, value, given[0], given[1], given[2]);
  }

  Value EvaluateLogic(const Expr& expr) {
    const bool is_and = expr.kind == Expr::Kind::kAnd;
    for (size_t i = 0; i + 1 < expr.parts.size(); ++i) {
      Value value = Evaluate(*expr.parts[i]);
      if (IsTrue(value) != is_and) return value;
    }
    return Evaluate(*expr.parts.back());
  }

  Value EvaluateConcat(const Expr& expr) {
    TextBuilder out(&context_);
    for (const ExprPtr& part : expr.parts) AppendStr(context_, Evaluate(*part), &out);
    return out.TakeValue();
  }

  Value EvaluateBinary(const Expr& expr) {
    Value value = Evaluate(*expr.parts[0]);
    for (size_t i = 0; i < expr.ops.size(); ++i) {
      const Value right = Evaluate(*expr.parts[i + 1]);
      value = Arithmetic(context_, expr.ops[i], value, right);
    }
    return value;
  }

  Value EvaluateCompare(const Expr& expr) {
    Value left = Evaluate(*expr.parts[0]);
    for (size_t i = 0; i < expr.ops.size(); ++i) {
      Value right = Evaluate(*expr.parts[i + 1]);
      if (!Compare(context_, expr.ops[i], left, right)) return {false};
      left = std::move(right);
    }
    return {true};
  }

  // Those behind parts[0].
  Arguments EvaluateArguments(const Expr& expr) {
    Arguments arguments;
    const size_t positional = expr.parts.size() - expr.keywords.size();
    for (size_t i = 1; i < expr.parts.size(); ++i) {
      Value value = Evaluate(*expr.parts[i]);
      if (i < positional) {
        arguments.positional.push_back(std::move(value));
      } else {
        arguments.named.emplace_back(expr.keywords[i - positional], std::move(value));
      }
    }
    line_ = expr.line;
    return arguments;
  }

  // `text`: what the innermost filter of a block is given.
  Value EvaluateFilter(const Expr& expr, const Value* text) {
    const Value input = expr.parts[0] == nullptr ? *text
                        : expr.parts[0]->kind == Expr::Kind::kFilter
                            ? EvaluateFilter(*expr.parts[0], text)
                            : Evaluate(*expr.parts[0]);
    Arguments arguments = EvaluateArguments(expr);
    return expr.filter(context_, input, arguments);
  }

  Value EvaluateCall(const Expr& expr, const Value* caller) {
    const Value callee = Evaluate(*expr.parts[0]);
    Arguments arguments = EvaluateArguments(expr);
    if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
    if (const auto* macro = std::get_if<const Macro*>(&callee.v)) {
      return CallMacro(**macro, arguments);
    }
    if (const auto* bound = std::get_if<std::shared_ptr<const Bound>>(&callee.v)) {
      return (*bound)->function(context_, (*bound)->self, arguments);
    }
    if (const auto* function = std::get_if<const Function*>(&callee.v)) {
      return (*function)->call(context_, arguments);
    }
    RefuseUndefined(callee);
    Fail("'{}' object is not callable", TypeName(callee));
  }

  Value CallMacro(const Macro& macro, Arguments& arguments) {
    const MacroDefinition& definition = *macro.definition;
    MarkedText text = Captured([&] {
      Within(macro.scope, [&] {
        BindParameters(definition, arguments);
        return Execute(definition.body);
      });
    });
    return NewText(context_, std::move(text));
  }

  void BindParameters(const MacroDefinition& definition, Arguments& arguments) {
    const size_t count = definition.parameters.size();
    const size_t required = count - definition.defaults.size();
    const auto take = [&](const std::string& name, Value* value) {
      for (auto named = arguments.named.begin(); named != arguments.named.end(); ++named) {
        if (named->first != name) continue;
        *value = std::move(named->second);
        arguments.named.erase(named);
        return true;
      }
      return false;
    };
    for (size_t i = 0; i < count; ++i) {
      const std::string& name = definition.parameters[i];
      Value value;
      if (i < arguments.positional.size()) {
        value = arguments.positional[i];
      } else if (!take(name, &value)) {
        value = i >= required
                    ? Evaluate(*definition.defaults[i - required])
                    : UndefinedBecause(fmt::format("parameter '{}' was not provided", name));
      }
      Set(name, std::move(value));
    }
    BindRest(definition, arguments, take);
  }

  // What no parameter takes: caller, kwargs and varargs, where the body names them.
  template <typename Take>
  void BindRest(const MacroDefinition& definition, Arguments& arguments, const Take& take) {
    const size_t count = definition.parameters.size();
    if (definition.takes_caller) {
      Value caller;
      if (!take("caller", &caller)) caller = UndefinedBecause("No caller defined");
      Set("caller", std::move(caller));
    }
    if (definition.takes_kwargs) {
      DictBuilder rest(&context_);
      for (auto& [name, value] : arguments.named) rest.Set(NewText(context_, name), value);
      Set("kwargs", rest.Take());
    } else if (!arguments.named.empty()) {
      Fail("macro '{}' takes no keyword argument '{}'", definition.name,
           Printable(arguments.named[0].first));
    }
    if (definition.takes_varargs) {
      std::vector<Value> rest;
      for (size_t i = count; i < arguments.positional.size(); ++i) {
        rest.push_back(arguments.positional[i]);
      }
      Set("varargs", NewList(context_, std::move(rest), List::Kind::kTuple));
    } else if (arguments.positional.size() > count) {
      Fail("macro '{}' takes not more than {} argument(s)", definition.name, count);
    }
  }

  Context& context_;
  ScopePtr scope_;
  TextBuilder* out_ = nullptr;
  int line_ = 1;
};

}  // namespace

Template Template::Parse(std::string_view source, std::string name) {
  try {
    auto body = std::make_shared<const Block>(ParseTemplate(source));
    return Template(std::move(name), std::move(body));
  } catch (const Error& error) {
    Fail("{}: {}", name, error.what());
  }
}

MarkedText Template::Render(Context& context, const Variables& variables) const {
  Interpreter interpreter(&context);
  try {
    return interpreter.Run(*body_, variables);
  } catch (const Error& error) {
    Fail("{}: line {}: {}", name_, interpreter.line(), error.what());
  }
}

}  // namespace darkhorse::jinja
