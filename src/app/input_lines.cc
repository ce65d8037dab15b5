#include "app/input_lines.h"

#include <histedit.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/error.h"
#include "base/interrupt.h"

namespace darkhorse {

// libedit. Prompt and echo go to stderr: stdout holds answers only.
class InputLines::Editor {
 public:
  Editor() {
    // Letters beyond ASCII are typed in the user's encoding, or in UTF-8 where there is none.
    std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    HistEvent event;
    history(history_, &event, H_SETSIZE, 1000);
    history(history_, &event, H_SETUNIQUE, 1);
    el_set(
        edit_, EL_PROMPT, +[](EditLine*) { return const_cast<char*>("> "); });
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_HIST, history, history_);
    el_source(edit_, nullptr);  // the user's own ~/.editrc
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;
  ~Editor() {
    el_end(edit_);
    history_end(history_);
  }
  bool Next(std::string* line) {
    int count = 0;
    const char* text = el_gets(edit_, &count);
    if (!text || count <= 0) {
      std::fputc('\n', stderr);
      return false;
    }
    line->assign(text, static_cast<size_t>(count));
    if (line->ends_with('\n')) line->pop_back();
    HistEvent event;
    if (!line->empty()) history(history_, &event, H_ENTER, line->c_str());
    return true;
  }

 private:
  History* history_ = history_init();
  EditLine* edit_ = el_init("darkhorse", stdin, stderr, stderr);
};

InputLines::InputLines() : terminal_(isatty(STDIN_FILENO)) {
  if (terminal_ && isatty(STDERR_FILENO)) editor_ = std::make_unique<Editor>();
}

InputLines::~InputLines() = default;

bool InputLines::Next(std::string* line) {
  if (editor_) return editor_->Next(line);
  if (terminal_) std::fputs("> ", stderr);
  if (std::getline(std::cin, *line)) {
    if (line->ends_with('\r')) line->pop_back();
    return true;
  }
  if (std::ferror(stdin) && !Interrupted())
    Fail("standard input cannot be read; check where it comes from");
  return false;
}

}  // namespace darkhorse
