// Added tokens: strings such as "<think>" that are cut out of the text before anything else looks
// at it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace darkhorse {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and behind it
  bool normalized = true;    // looked for in the normalised text; false: in the original text
  bool special = false;      // left out by Decode(..., skip_special_tokens)
};

// Finds added tokens that do not overlap: the leftmost first, and among those that start at one
// place the longest.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() : nodes_(1) {}

  // contents: as they occur in the searched text. Empty contents are never found.
  void Add(const AddedToken& token, const std::string& content);

  bool empty() const { return tokens_.empty(); }

  // Calls on_token(id) for each token and on_text(piece) for each non-empty piece of text between
  // tokens, in the order of the text.
  template <typename OnText, typename OnToken>
  void Split(std::string_view text, const OnText& on_text, const OnToken& on_token) const {
    size_t done = 0;
    for (size_t pos = 0; pos < text.size();) {
      Found found;
      if (empty() || !Find(text, pos, done, &found)) break;
      if (done < found.begin) on_text(text.substr(done, found.begin - done));
      on_token(found.id);
      done = found.end;
      pos = found.end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  struct Node {
    int32_t token = -1;  // index in tokens_ of the content that ends here
    std::vector<std::pair<char, int32_t>> next;
  };
  struct Found {
    int32_t id;
    size_t begin, end;  // with the white space it takes along
  };

  // The first token whose content starts at or after `pos`; text before `done` belongs to earlier
  // tokens.
  bool Find(std::string_view text, size_t pos, size_t done, Found* found) const;
  // The longest content at `pos`: its index and *end, or -1.
  int32_t LongestAt(std::string_view text, size_t pos, size_t* end) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;  // a trie of bytes
  bool starts_[256] = {};
};

}  // namespace darkhorse
