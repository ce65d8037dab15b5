# Puts the page that a server shows (src/serve/page/) into the program, with the libraries that it uses: Debian's packages of
# KaTeX, marked, DOMPurify and highlight.js. Each becomes a file of embedded_page.cc (src/serve/page.h), to the byte. What has
# changed re-runs this.
set(DARKHORSE_WEB /usr/share CACHE PATH "Where the packages of JavaScript lie, as Debian unpacks them")
set(page_source ${CMAKE_SOURCE_DIR}/src/serve/page)
set(page_made ${CMAKE_BINARY_DIR}/page)

set(page_katex ${DARKHORSE_WEB}/javascript/katex)
set(page_highlight ${DARKHORSE_WEB}/nodejs/highlight.js/lib)
set(page_fonts ${DARKHORSE_WEB}/fonts/truetype/katex)
set(page_languages bash cmake cpp cs css diff dockerfile go haskell http ini java javascript json julia kotlin lua makefile
  markdown nginx ocaml perl php plaintext powershell protobuf python r ruby rust scala shell sql swift tex typescript x86asm xml
  yaml)

# Each package, and a file by which it is known.
set(page_packages libjs-katex libjs-marked node-dompurify node-highlight.js fonts-katex)
set(page_libjs-katex ${page_katex}/katex.min.js)
set(page_libjs-marked ${DARKHORSE_WEB}/javascript/marked/marked.min.js)
set(page_node-dompurify ${DARKHORSE_WEB}/nodejs/dompurify/dist/purify.min.js)
set(page_node-highlight.js ${page_highlight}/highlight.js)
set(page_fonts-katex ${page_fonts}/KaTeX_Main-Regular.woff2)
set(page_missing "")
foreach(package ${page_packages})
  if(NOT EXISTS ${page_${package}})
    string(APPEND page_missing " ${package}")
  endif()
endforeach()
if(page_missing)
  message(FATAL_ERROR "the page of `darkhorse serve` needs packages that are not in ${DARKHORSE_WEB}. Run tools/setup, or\n"
    "  apt-get install -y --no-install-recommends${page_missing}\n"
    "Where there is no Debian, unpack them and say where: -DDARKHORSE_WEB=FOLDER/usr/share")
endif()

# Writes a file that is made of others, where it differs from what is there.
function(page_write name text)
  file(WRITE ${page_made}/${name}.new "${text}")
  file(COPY_FILE ${page_made}/${name}.new ${page_made}/${name} ONLY_IF_DIFFERENT)
endfunction()
function(page_read file result)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

# KaTeX's style with its fonts in it, of which browsers need one kind.
page_read(${page_katex}/katex.min.css text)
string(REGEX REPLACE ",url\\([^)]*\\) format\\('(woff|truetype)'\\)" "" text "${text}")
file(GLOB fonts ${page_fonts}/*.woff2)
foreach(font ${fonts})
  get_filename_component(name ${font} NAME)
  execute_process(COMMAND base64 -w0 ${font} OUTPUT_VARIABLE bytes COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "fonts/${name}" "data:font/woff2;base64,${bytes}" text "${text}")
endforeach()
if(text MATCHES "url\\(fonts")
  message(FATAL_ERROR "${page_katex}/katex.min.css names fonts that are not in ${page_fonts}")
endif()
page_write(katex.css "${text}")

# highlight.js with some of its languages.
page_read(${page_highlight}/highlight.js core)
set(text "var hljs = (module => {\n${core}\nreturn module.exports;\n})({});\n")
foreach(language ${page_languages})
  page_read(${page_highlight}/languages/${language}.js rules)
  string(APPEND text "\n(module => {\n${rules}\nhljs.registerLanguage(\"${language}\", module.exports);\n})({});\n")
endforeach()
page_write(highlight.js "${text}")

# What those who wrote the libraries ask to be told.
set(text "")
foreach(package ${page_packages})
  page_read(${DARKHORSE_WEB}/doc/${package}/copyright notice)
  string(APPEND text "==== ${package} ====\n\n${notice}\n")
endforeach()
page_write(licences.txt "${text}")

# Every file: what it is called, and where it lies.
set(page_files /=${page_source}/index.html)
file(GLOB own CONFIGURE_DEPENDS ${page_source}/*.js ${page_source}/*.css)
foreach(file ${own} ${page_made}/katex.css ${page_made}/highlight.js ${page_made}/licences.txt)
  get_filename_component(name ${file} NAME)
  list(APPEND page_files /page/${name}=${file})
endforeach()
list(APPEND page_files /page/katex.js=${page_libjs-katex} /page/marked.js=${page_libjs-marked}
  /page/purify.js=${page_node-dompurify})

set(page_asm "")
set(page_symbols "")
set(page_rows "")
set(page_needs "")
set(page_number 0)
foreach(pair ${page_files})
  string(REGEX MATCH "^([^=]*)=(.*)$" _ ${pair})
  set(path ${CMAKE_MATCH_1})
  set(file ${CMAKE_MATCH_2})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  list(APPEND page_needs ${file})
  file(SHA256 ${file} tag)
  string(SUBSTRING ${tag} 0 16 tag)
  get_filename_component(kind ${file} LAST_EXT)
  set(n ${page_number})
  string(APPEND page_asm "    PAGE_FILE(\"page_${n}\", \"${file}\")\n")
  string(APPEND page_symbols "HIDDEN extern const char page_${n}[], page_${n}_end[];\n")
  string(APPEND page_rows "      {\"${path}\", \"${kind}\", \"\\\"${tag}\\\"\", {page_${n}, static_cast<size_t>(page_${n}_end - page_${n})}},\n")
  math(EXPR page_number "${page_number} + 1")
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/embedded_page.new
"#include \"serve/page.h\"

#define HIDDEN __attribute__((visibility(\"hidden\")))
#define PAGE_SYMBOL(name) \".globl \" name \"\\n.hidden \" name \"\\n\" name \":\\n\"
#define PAGE_FILE(name, path) PAGE_SYMBOL(name) \".incbin \\\"\" path \"\\\"\\n\" PAGE_SYMBOL(name \"_end\")

asm(\".pushsection .rodata\\n\"
${page_asm}    \".popsection\\n\");

extern \"C\" {
${page_symbols}}

namespace darkhorse {
std::span<const PageFile> PageFiles() {
  static const PageFile files[] = {
${page_rows}  };
  return files;
}
}  // namespace darkhorse
")
file(COPY_FILE ${CMAKE_BINARY_DIR}/embedded_page.new ${CMAKE_BINARY_DIR}/embedded_page.cc ONLY_IF_DIFFERENT)
set_source_files_properties(${CMAKE_BINARY_DIR}/embedded_page.cc PROPERTIES OBJECT_DEPENDS "${page_needs}")
