#include "serve/page.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace darkhorse {
namespace {

// What a browser is told to allow the page: files and requests of this server. Fonts lie in the
// style of KaTeX, which also draws with pictures of its own.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const char* TypeOf(std::string_view kind) {
  if (kind == ".html") return "text/html; charset=utf-8";
  if (kind == ".js") return "text/javascript; charset=utf-8";
  if (kind == ".css") return "text/css; charset=utf-8";
  CHECK(kind == ".txt");
  return "text/plain; charset=utf-8";
}

}  // namespace

const PageFile* FindPageFile(std::string_view path) {
  const std::span<const PageFile> files = PageFiles();
  const auto found = std::ranges::find(files, path, &PageFile::path);
  return found == files.end() ? nullptr : &*found;
}

void SendPageFile(const PageFile& file, const HttpRequest& request, HttpReply* reply) {
  // A browser keeps the file and asks with each visit whether it is still the one.
  HttpReply::Headers headers = {{"ETag", file.tag}, {"Cache-Control", "no-cache"}};
  if (request.Header("if-none-match").find(file.tag) != std::string_view::npos)
    return reply->Send(304, TypeOf(file.kind), "", headers);
  headers.emplace_back("Content-Security-Policy", kPolicy);
  reply->Send(200, TypeOf(file.kind), std::string(file.bytes), headers);
}

}  // namespace darkhorse
