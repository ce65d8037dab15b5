#include "serve/event_stream.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

using Events = std::vector<std::string>;

TEST(EventStream, TellsWhatEachEventHolds) {
  EventStream stream;
  EXPECT_EQ(stream.Next("data: one\n\n: a comment\n\nevent: x\ndata:two\ndata:  three\n\n"),
            (Events{"one", "two\n three"}));
  EXPECT_EQ(stream.Next("id: 3\n\ndata: four\n"), Events{});  // no data; not ended
  EXPECT_EQ(stream.Next("\n"), Events{"four"});
}

TEST(EventStream, DoesNotMindWhereThePiecesPart) {
  const std::string text = "data: {\"a\": 1}\r\n\r\n: beat\r\n\r\ndata: é\r\ndata: b\r\n\r\n";
  for (size_t size = 1; size <= text.size(); ++size) {
    EventStream stream;
    Events events;
    for (size_t at = 0; at < text.size(); at += size) {
      for (std::string& event : stream.Next(std::string_view(text).substr(at, size)))
        events.push_back(std::move(event));
    }
    EXPECT_EQ(events, (Events{"{\"a\": 1}", "é\nb"})) << size;
  }
}

}  // namespace
}  // namespace darkhorse
