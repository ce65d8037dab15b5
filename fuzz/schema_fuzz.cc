// Any bytes as a JSON Schema give a grammar, or an Error. Whatever then begins a document of it can
// be gone on with: wherever a byte may follow, one does.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/byte_grammar_reader.h"
#include "base/error.h"
#include "base/json.h"
#include "text/answer_grammar.h"
#include "text/json_schema.h"

// A schema in the first line, and behind it how a document begins.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace darkhorse;
  const uint8_t* line = std::find(data, data + size, uint8_t{'\n'});
  const std::string text(data, line);
  const auto schema = TryParseJson<nlohmann::ordered_json>(text, nullptr, 64);
  if (!schema) return 0;
  auto grammar = std::make_shared<ByteGrammar>();
  JsonGrammar json(grammar.get());
  try {
    const auto document = AddJsonSchema(&json, *schema, "schema");
    grammar->Finish(AddAnswer(grammar.get(), AnswerThought::kAllowed, document));
  } catch (const Error&) {
    return 0;
  }
  ByteGrammarReader reader(grammar);
  auto state = reader.Start();
  const auto check = [&] {
    bool any = false;
    for (int byte = 0; byte < 256 && !any; ++byte)
      any = reader.Next(state, static_cast<uint8_t>(byte)) != ByteGrammarReader::kDead;
    CHECK(any == reader.MayGoOn(state));
    CHECK(any || reader.MayEnd(state));
  };
  check();
  for (const uint8_t* at = line; at < data + size; ++at) {
    if (at == line) continue;
    const auto next = reader.Next(state, *at);
    if (next == ByteGrammarReader::kDead) continue;
    state = next;
    check();
  }
  return 0;
}
