// Whether the field list of a struct lists it whole.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/fields.h"

namespace darkhorse {
namespace internal {

// Stands for an initialiser of any member.
struct AnyValue {
  explicit AnyValue(size_t) {}
  template <typename T>
  operator T() const;
};

template <typename T, size_t... I>
constexpr bool TakesInitialisers(std::index_sequence<I...>) {
  return requires { T{AnyValue(I)...}; };
}

// How many members an aggregate has: as many initialisers as its braces take.
template <typename T, size_t kCount = 0>
constexpr size_t MemberCount() {
  if constexpr (TakesInitialisers<T>(std::make_index_sequence<kCount + 1>())) {
    return MemberCount<T, kCount + 1>();
  } else {
    return kCount;
  }
}

struct Extent {
  std::string name;
  const std::byte* begin;
  size_t size, alignment;
};

// The fields and sections that lie directly in the struct, in order of address.
inline std::vector<Extent> DirectExtents(const FieldList& list) {
  std::vector<Extent> extents;
  const auto add = [&](const std::string& path, const void* at, size_t size, size_t alignment) {
    if (path.find('.') != std::string::npos) return;
    extents.push_back({path, static_cast<const std::byte*>(at), size, alignment});
  };
  for (const Field& field : list.fields()) {
    std::visit(
        [&](auto* value) { add(field.path, value, sizeof(*value), alignof(decltype(*value))); },
        field.value);
  }
  for (const FieldSection& section : list.sections()) {
    add(section.path, section.address, section.size, section.alignment);
  }
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::less<const std::byte*>()(a.begin, b.begin);
  });
  return extents;
}

}  // namespace internal

// Every member of Struct is listed once, as a field or a section: what is listed covers the bytes
// of the struct but for alignment; and, since a forgotten bool may lie in what looks like
// alignment, an aggregate has as many members as are listed. Of a struct with constructors only the
// bytes are checked. A member of a type that no field can have cannot be listed, and so fails.
// Sections are checked by calls of their own.
template <typename Struct>
testing::AssertionResult ListsEveryMember() {
  Struct value;
  const FieldList list = FieldsOf(value);
  const std::vector<internal::Extent> extents = internal::DirectExtents(list);
  const auto* at = reinterpret_cast<const std::byte*>(&value);
  const std::byte* const end = at + sizeof(Struct);
  std::string behind = "the beginning";
  for (const internal::Extent& extent : extents) {
    if (extent.begin < at || extent.begin + extent.size > end) {
      return testing::AssertionFailure()
             << "'" << extent.name << "' lies outside the struct, or is listed twice";
    }
    if (static_cast<size_t>(extent.begin - at) >= extent.alignment) {
      return testing::AssertionFailure()
             << "no field for " << extent.begin - at << " bytes behind " << behind;
    }
    at = extent.begin + extent.size;
    behind = "'" + extent.name + "'";
  }
  if (static_cast<size_t>(end - at) >= alignof(Struct)) {
    return testing::AssertionFailure() << "no field for " << end - at << " bytes behind " << behind;
  }
  if constexpr (std::is_aggregate_v<Struct>) {
    constexpr size_t kMembers = internal::MemberCount<Struct>();
    if (extents.size() != kMembers) {
      return testing::AssertionFailure()
             << "the struct has " << kMembers << " members, " << extents.size() << " are listed";
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace darkhorse
