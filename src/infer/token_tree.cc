#include "infer/token_tree.h"

#include <algorithm>
#include <array>

namespace darkhorse {

TokenTree::TokenTree(const std::vector<std::string_view>& texts) : same_(texts.size(), -1) {
  std::vector<int32_t> order;
  for (size_t id = 0; id < texts.size(); ++id) {
    begins_.push_back(bytes_.size());
    if (texts[id].empty() || texts[id].size() > kLongest) continue;
    bytes_ += texts[id];
    order.push_back(static_cast<int32_t>(id));
  }
  begins_.push_back(bytes_.size());
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const int compared = text(a).compare(text(b));
    return compared != 0 ? compared < 0 : a < b;
  });
  nodes_.push_back({});
  std::vector<int32_t> path = {0};  // to the token before
  int32_t before = -1;
  const auto leave = [&](size_t depth) {
    for (; path.size() > depth + 1; path.pop_back())
      nodes_[static_cast<size_t>(path.back())].behind = nodes();
  };
  for (const int32_t token : order) {
    const std::string_view bytes = text(token);
    const std::string_view last = before < 0 ? std::string_view() : text(before);
    if (bytes == last) {
      same_[static_cast<size_t>(before)] = token;
      before = token;
      continue;
    }
    const auto parted = std::mismatch(bytes.begin(), bytes.end(), last.begin(), last.end());
    leave(static_cast<size_t>(parted.first - bytes.begin()));
    for (size_t depth = path.size() - 1; depth < bytes.size(); ++depth) {
      path.push_back(nodes());
      nodes_.push_back({static_cast<uint8_t>(bytes[depth]), static_cast<uint8_t>(depth + 1)});
    }
    nodes_.back().token = token;
    before = token;
  }
  leave(0);
  nodes_.front().behind = nodes();
}

}  // namespace darkhorse
