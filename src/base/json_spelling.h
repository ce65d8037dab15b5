// JSON as it is spelt. A parsed value forgets how its numbers were written: 1.50 becomes 1.5,
// 0.00001 becomes 1e-05 and an integer past 64 bits loses digits. What goes on to another reader is
// cut out of the text instead.
//
// These functions do not check: `text` must be what TryParseJson (base/json.h) has accepted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

// The same text on one line: without the white space outside of strings and a byte order mark.
std::string CompactJson(std::string_view text);

struct JsonMember {
  std::string key;    // decoded
  std::string value;  // as it is spelt, without the white space outside of strings
};

// The members of an object, in their order.
std::vector<JsonMember> JsonMembers(std::string_view object);

// The object that has these members. They are copied, not checked.
std::string JsonObjectOf(const std::vector<JsonMember>& members);

}  // namespace darkhorse
