// The texts of a vocabulary as a tree: tokens that begin alike share the way from the root, so that
// to try them all costs little more than to try each beginning.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

class TokenTree {
 public:
  // texts[id]: the bytes of a token; a token without any is not in the tree.
  explicit TokenTree(const std::vector<std::string_view>& texts);

  // Its nodes in the order in which a walk meets them that goes down before it goes on. Node 0 is
  // the root.
  struct Node {
    uint8_t byte = 0;    // that leads here
    uint8_t depth = 0;   // bytes from the root
    int32_t token = -1;  // that ends here, the first of those that do; -1: none
    int32_t behind = 0;  // the first node that is not below this one
  };
  const Node& node(int32_t node) const { return nodes_[static_cast<size_t>(node)]; }
  int32_t nodes() const { return static_cast<int32_t>(nodes_.size()); }
  // A further token with the same text, or -1.
  int32_t Same(int32_t token) const { return same_[static_cast<size_t>(token)]; }

  std::string_view text(int32_t token) const {
    const auto at = static_cast<size_t>(token);
    return at + 1 < begins_.size()
               ? std::string_view(bytes_).substr(begins_[at], begins_[at + 1] - begins_[at])
               : std::string_view();
  }
  int64_t vocabulary() const { return static_cast<int64_t>(same_.size()); }

  // Longer texts are left out: a walk keeps one state for each byte.
  static constexpr size_t kLongest = 255;

 private:
  std::vector<Node> nodes_;
  std::vector<int32_t> same_;
  std::string bytes_;
  std::vector<size_t> begins_;
};

}  // namespace darkhorse
