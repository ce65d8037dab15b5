// A template as a tree.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/template/builtins.h"

namespace darkhorse::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  enum class Kind {
    kConstant,   // constant
    kName,       // name
    kList,       // parts
    kTuple,      // parts
    kDict,       // parts: key, value, key, value, ...
    kAttribute,  // parts[0].name
    kItem,       // parts[0][parts[1]]
    kSlice,      // parts[0][parts[1]:parts[2]:parts[3]], absent ones null
    kCall,       // parts[0](parts[1], ...)
    kFilter,     // parts[0]|name(parts[1], ...); parts[0] is null where a block's text comes in
    kTest,       // parts[0] is name(parts[1], ...)
    kNot,
    kNegative,
    kPositive,
    kAnd,  // all parts, from the left
    kOr,
    kConcat,     // all parts: ~
    kBinary,     // parts[0] ops[0] parts[1] ops[1] parts[2] ..., from the left
    kCompare,    // the same; true if each pair is
    kCondition,  // parts[0] if parts[1] else parts[2], which may be null
  };
  Kind kind;
  int line;
  Value constant = {};
  std::string name = {};
  FilterFunction filter = nullptr;
  TestFunction test = nullptr;
  std::vector<ExprPtr> parts = {};
  std::vector<Operator> ops = {};
  std::vector<std::string> keywords = {};  // of a call, filter or test: the names of its last parts
  int depth = 1;
};

// What `set`, `for` and `with` assign to.
struct Target {
  int line = 1;
  std::string name;   // empty: parts, which the value is unpacked to
  std::string field;  // of the namespace `name`; empty: the variable itself
  std::vector<Target> parts;
};

struct Statement;
using Block = std::vector<Statement>;

// Parameters and body of a macro, or of the block that is handed to one as `caller`.
struct MacroDefinition {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Block body;
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;
};

struct Statement {
  enum class Kind {
    kData,      // text
    kPrint,     // expr
    kSet,       // target = expr
    kSetBlock,  // target = body, through expr if that is a filter
    kFor,       // for target in expr if condition: body; branches[0]: its else
    kIf,        // branches, the first of which holds is taken
    kMacro,     // macro
    kCall,      // expr is a call, macro its caller
    kFilter,    // body through expr, a filter
    kWith,      // targets[i] = values[i] in body
    kScope,     // body, with variables of its own
    kBreak,
    kContinue,
  };
  Kind kind;
  int line;
  Value text = {};
  ExprPtr expr = nullptr;
  ExprPtr condition = nullptr;
  std::vector<Target> targets = {};
  std::vector<ExprPtr> values = {};
  Block body = {};
  // (condition, body); the condition of an `else` is null.
  std::vector<std::pair<ExprPtr, Block>> branches = {};
  std::unique_ptr<MacroDefinition> macro = nullptr;
};

// Error "line N: ...".
Block ParseTemplate(std::string_view source);

}  // namespace darkhorse::jinja
