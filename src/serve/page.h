// The page at /: a chat and a view of the server, in files that the program holds
// (src/serve/page/, cmake/page.cmake). It loads nothing from elsewhere, and is told to.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "serve/http.h"

namespace darkhorse {

struct PageFile {
  std::string_view path;  // "/page/main.js"
  std::string_view kind;  // ".js"
  const char* tag;        // of its bytes, with quotes, as ETag has it
  std::string_view bytes;
};

std::span<const PageFile> PageFiles();

// The file that is asked for; null: none.
const PageFile* FindPageFile(std::string_view path);

// Whether a request's Accept-Encoding takes gzip.
bool TakesGzip(std::string_view accept_encoding);

// Sends a file of the page, compressed where the browser takes it so, or says that it has it
// already.
void SendPageFile(const PageFile& file, const HttpRequest& request, HttpReply* reply);

}  // namespace darkhorse
