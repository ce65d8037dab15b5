#include "serve/page.h"

#include <zlib.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "base/ascii.h"
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

std::string Gzip(std::string_view bytes) {
  z_stream stream{};
  CHECK(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, /*memLevel=*/8,
                     Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// Compressed once, when it is first asked for.
const std::string& Compressed(const PageFile& file) {
  static std::mutex mutex;
  static std::map<const PageFile*, std::string> all;
  const std::lock_guard lock(mutex);
  const auto [found, is_new] = all.try_emplace(&file);
  if (is_new) found->second = Gzip(file.bytes);
  return found->second;
}

// Other bytes have another tag: "\"1234\"" to "\"1234-gzip\"".
std::string GzipTag(std::string tag) { return tag.insert(tag.size() - 1, "-gzip"); }

// A weight of 0, as in "gzip;q=0.0", which says never.
bool IsNever(std::string_view parameters) {
  const size_t equals = parameters.find('=');
  if (equals == parameters.npos) return false;
  return TrimAscii(parameters.substr(equals + 1)).find_first_not_of("0.") == std::string_view::npos;
}

}  // namespace

bool TakesGzip(std::string_view accept_encoding) {
  bool any = false;
  while (!accept_encoding.empty()) {
    const size_t comma = accept_encoding.find(',');
    const std::string_view one = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(comma == one.npos ? accept_encoding.size() : comma + 1);
    const size_t semicolon = std::min(one.find(';'), one.size());
    const bool takes = !IsNever(one.substr(semicolon));
    const std::string name = LowerAscii(TrimAscii(one.substr(0, semicolon)));
    if (name == "gzip") return takes;
    if (name == "*") any = takes;
  }
  return any;
}

const PageFile* FindPageFile(std::string_view path) {
  const std::span<const PageFile> files = PageFiles();
  const auto found = std::ranges::find(files, path, &PageFile::path);
  return found == files.end() ? nullptr : &*found;
}

void SendPageFile(const PageFile& file, const HttpRequest& request, HttpReply* reply) {
  // A browser keeps the file and asks with each visit whether it is still the one.
  const bool gzip = TakesGzip(request.Header("accept-encoding"));
  const std::string tag = gzip ? GzipTag(file.tag) : file.tag;
  HttpReply::Headers headers = {
      {"ETag", tag}, {"Cache-Control", "no-cache"}, {"Vary", "Accept-Encoding"}};
  if (request.Header("if-none-match").find(tag) != std::string_view::npos)
    return reply->Send(304, TypeOf(file.kind), "", headers);
  headers.emplace_back("Content-Security-Policy", kPolicy);
  if (gzip) headers.emplace_back("Content-Encoding", "gzip");
  reply->Send(200, TypeOf(file.kind), gzip ? Compressed(file) : std::string(file.bytes), headers);
}

}  // namespace darkhorse
