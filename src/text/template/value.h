// The values of a template: Python's, as far as templates see them.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/marked_text.h"
#include "text/template/context.h"

namespace darkhorse::jinja {

// Python's integers have no end; these end at 127 bits, which holds what JSON writers write.
__extension__ using Int = __int128;

struct Value;
struct Text;
struct List;
struct Dict;
struct Loop;
struct Macro;
struct Namespace;
struct Bound;
struct Function;

struct None {};
// A name without a value. It may be asked for, printed (as nothing) and looped over; all else is an
// error, which says `why`.
struct Undefined {
  std::shared_ptr<const std::string> why;  // null: nothing more is known

  std::string Why() const { return why == nullptr ? "a value is undefined" : *why; }
};

struct Value {
  std::variant<Undefined, None, bool, Int, double, std::shared_ptr<const Text>,
               std::shared_ptr<List>, std::shared_ptr<const Dict>, std::shared_ptr<const Loop>,
               std::shared_ptr<const Bound>, const Function*, const Macro*, Namespace*>
      v;

  template <typename T>
  bool Is() const {
    return std::holds_alternative<T>(v);
  }
  bool IsUndefined() const { return Is<Undefined>(); }
  bool IsNone() const { return Is<None>(); }
  bool IsNumber() const { return Is<bool>() || Is<Int>() || Is<double>(); }

  // Null if it is another kind of value.
  const Text* text() const { return Pointee<std::shared_ptr<const Text>>(); }
  List* list() const { return Pointee<std::shared_ptr<List>>(); }
  const Dict* dict() const { return Pointee<std::shared_ptr<const Dict>>(); }
  Namespace* space() const { return Is<Namespace*>() ? std::get<Namespace*>(v) : nullptr; }

 private:
  template <typename Pointer>
  auto Pointee() const -> decltype(std::declval<Pointer>().get()) {
    const auto* pointer = std::get_if<Pointer>(&v);
    return pointer == nullptr ? nullptr : pointer->get();
  }
};

struct Text {
  MarkedText text;
  bool markup = false;     // `|safe` and `|escape`: adding to it escapes HTML, as markupsafe does
  int64_t characters = 0;  // code points
  Charge charge;

  bool ascii() const { return characters == static_cast<int64_t>(text.size()); }
  const std::string& bytes() const { return text.bytes(); }
};

// Python's sequences, and what it iterates over once.
struct List {
  enum class Kind { kList, kTuple, kRange, kKeys, kValues, kItems, kGenerator };
  Kind kind = Kind::kList;
  std::vector<Value> items;
  int depth = 1;      // of lists and dicts in it, itself included
  bool held = false;  // by another list or dict, whose depth would be wrong if this one grew
  Int start = 0, stop = 0, step = 1;  // as a range was made; its items are there as well
  Charge charge;

  bool Subscripts() const { return kind <= Kind::kRange; }
  bool HasLength() const { return kind != Kind::kGenerator; }
};

// Keeps the order of its entries. A key is found by its canonical spelling (KeyOf).
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_map<std::string, size_t> index;
  int depth = 1;
  Charge charge;

  const Value* Find(const std::string& key) const;
  const Value* FindText(std::string_view name) const;
};

// What `{% set ns.x = ... %}` may change. A rendering owns its namespaces, so that they may refer
// to each other.
struct Namespace {
  Dict fields;
};

// The variable `loop`.
struct Loop {
  std::shared_ptr<const List> items;
  size_t index = 0;
  int depth = 1;
};

// A method with the value it is of.
using MethodFunction = Value (*)(Context& context, const Value& self, struct Arguments& arguments);
struct Bound {
  Value self;
  std::string_view name;
  MethodFunction function = nullptr;
};

// A function of the environment, such as range.
struct Function {
  std::string_view name;
  Value (*call)(Context& context, struct Arguments& arguments) = nullptr;
};

Value UndefinedBecause(std::string why);
// Error, which says why, if it is undefined.
void RefuseUndefined(const Value& value);

// New values. Error: limits.
Value NewText(Context& context, MarkedText text, bool markup = false);
Value NewText(Context& context, std::string_view bytes);  // written by the template
Value NewList(Context& context, std::vector<Value> items, List::Kind kind = List::Kind::kList);
// A text outside of any rendering, as a template holds its constants.
Value ConstantText(std::string_view bytes);

// The dict of these entries, a later one replacing an earlier one's value.
class DictBuilder {
 public:
  explicit DictBuilder(Context* context);
  // Error: a key that cannot be one, such as a list.
  void Set(const Value& key, Value value);
  Value Take() { return {std::shared_ptr<const Dict>(std::move(dict_))}; }

 private:
  Context* context_;
  std::shared_ptr<Dict> dict_;
};
// Lets a list grow. Error: another value holds it, which so could come to hold itself.
void AppendItem(Context& context, List* list, Value item);
// Sets a field of a namespace.
void SetField(Context& context, Namespace* space, std::string_view name, Value value);

// How a dict finds a key: equal for keys that are equal in Python. Error: it cannot be a key.
std::string KeyOf(Context& context, const Value& key);

// A value of JSON, whose texts are all of `origin`. Error: it nests too deep, or a text is not
// UTF-8.
Value FromJson(Context& context, const nlohmann::ordered_json& json, Origin origin);

// "str", "dict", ...: Python's name of its type.
std::string_view TypeName(const Value& value);
// "'str object'", "None": as jinja2 names it in a message.
std::string ObjectName(const Value& value);

bool IsTrue(const Value& value);
bool IsEqual(Context& context, const Value& a, const Value& b);
// a < b. Error: they have no order.
bool IsLess(Context& context, const Value& a, const Value& b);

// What iterating over it gives. Error: it cannot be. A generator gives it once.
std::shared_ptr<const List> Iterate(Context& context, const Value& value);
// len(). Error: it has none.
int64_t Length(const Value& value);

// Of a bool, an integer or a float. Error naming `what` otherwise.
Int IntOf(const Value& value, std::string_view what);
double FloatOf(const Value& value, std::string_view what);
// An integer as a C++ index, kept within ± 2^62.
int64_t IndexOf(const Value& value, std::string_view what);

}  // namespace darkhorse::jinja
