// The tokens of a template as a parser walks them, and how deep it is.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/lexer.h"

namespace darkhorse::jinja {

class TokenReader {
 protected:
  explicit TokenReader(std::string_view source) : tokens_(Tokenize(source)) {}

  const Token& Now() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& Next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }

  [[noreturn]] void Fault(const std::string& what) { FaultAt(Now().line, what); }
  [[noreturn]] static void FaultAt(int line, const std::string& what) {
    Fail("line {}: {}", line, what);
  }

  static std::string Describe(const Token& token) {
    switch (token.kind) {
      case Token::Kind::kData:
      case Token::Kind::kBlockBegin:
        return "a new block";
      case Token::Kind::kBlockEnd:
        return "the end of the block";
      case Token::Kind::kVariableBegin:
        return "'{{'";
      case Token::Kind::kVariableEnd:
        return "'}}'";
      case Token::Kind::kEnd:
        return "the end of the template";
      case Token::Kind::kFloat:
        return "a float";
      default:
        return "'" + Printable(token.text, 40) + "'";
    }
  }

  bool Skip(std::string_view op) {
    if (!Now().Is(op)) return false;
    Next();
    return true;
  }
  bool SkipName(std::string_view name) {
    if (!Now().IsName(name)) return false;
    Next();
    return true;
  }
  void Expect(std::string_view op) {
    if (!Skip(op)) Fault(fmt::format("expected '{}', found {}", op, Describe(Now())));
  }
  void Expect(Token::Kind kind, const char* what) {
    if (Now().kind != kind) Fault(fmt::format("expected {}, found {}", what, Describe(Now())));
    Next();
  }
  std::string ExpectName() {
    if (Now().kind != Token::Kind::kName) Fault("expected a name, found " + Describe(Now()));
    return Next().text;
  }
  void ExpectBlockEnd() { Expect(Token::Kind::kBlockEnd, "'%}'"); }

  // One level of expressions or statements in each other.
  class Level {
   public:
    explicit Level(TokenReader* parser) : parser_(parser) {
      if (++parser->depth_ > kMaxTreeDepth) parser->FaultTooDeep(parser->Now().line);
    }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    ~Level() { --parser_->depth_; }

   private:
    TokenReader* parser_;
  };

  [[noreturn]] static void FaultTooDeep(int line) {
    FaultAt(line, fmt::format("nests deeper than {} levels", kMaxTreeDepth));
  }

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace darkhorse::jinja
