#include "text/marked_text.h"

#include <gtest/gtest.h>

#include <utility>

#include "base/random.h"

namespace darkhorse {
namespace {

// The definition: a mark for every byte.
struct Slow {
  std::string bytes, marks;

  void Append(const Slow& other, size_t begin, size_t size) {
    bytes += other.bytes.substr(begin, size);
    marks += other.marks.substr(begin, size);
  }
};

void ExpectSame(const MarkedText& text, const Slow& slow) {
  ASSERT_EQ(text.bytes(), slow.bytes);
  std::string marks;
  bool trusted_before = false;
  for (const TextSegment& segment : text.Segments()) {
    EXPECT_FALSE(segment.text.empty());
    EXPECT_TRUE(marks.empty() || trusted_before != segment.trusted);
    trusted_before = segment.trusted;
    marks.append(segment.text.size(), segment.trusted ? 't' : 'i');
  }
  EXPECT_EQ(marks, slow.marks);
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_EQ(text.OriginAt(i) == Origin::kInput, slow.marks[i] == 'i') << i;
  }
  EXPECT_EQ(text.HasInput(), slow.marks.find('i') != std::string::npos);
}

TEST(MarkedText, IsAMarkForEveryByte) {
  RandomSequence random(1, RandomStream::kTest, 0);
  const auto below = [&](size_t limit) { return static_cast<size_t>(random.Below(limit)); };
  std::vector<std::pair<MarkedText, Slow>> texts(1);
  for (int round = 0; round < 2000; ++round) {
    auto& [text, slow] = texts[below(texts.size())];
    const size_t size = below(4);
    if (random.Below(3) == 0) {
      const std::string bytes(size, static_cast<char>('a' + random.Below(26)));
      const bool input = random.Below(2) == 0;
      text.Append(bytes, input ? Origin::kInput : Origin::kTemplate);
      slow.Append({bytes, std::string(size, input ? 'i' : 't')}, 0, size);
    } else {
      const auto from = texts[below(texts.size())];
      const size_t begin = below(from.second.bytes.size() + 1);
      const size_t part = below(from.second.bytes.size() - begin + 1);
      if (slow.bytes.size() + part > 200 || texts.size() < 5) {
        texts.emplace_back(from.first.Part(begin, part), Slow{});
        texts.back().second.Append(from.second, begin, part);
        if (texts.size() > 20) texts.erase(texts.begin());
        continue;
      }
      text.AppendPart(from.first, begin, part);
      slow.Append(from.second, begin, part);
    }
    ExpectSame(text, slow);
  }
}

}  // namespace
}  // namespace darkhorse
