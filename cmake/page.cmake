# Turns src/serve/page.html into a source file (src/serve/page.h). A changed page re-runs this.
set(page ${CMAKE_SOURCE_DIR}/src/serve/page.html)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
file(READ ${page} text)
# Not file(CONFIGURE), which would take the page's own "${...}" for variables.
file(WRITE ${CMAKE_BINARY_DIR}/embedded_page.new
"#include \"serve/page.h\"

namespace darkhorse {
std::string_view PageHtml() {
  return R\"page(${text})page\";
}
}  // namespace darkhorse
")
file(COPY_FILE ${CMAKE_BINARY_DIR}/embedded_page.new ${CMAKE_BINARY_DIR}/embedded_page.cc ONLY_IF_DIFFERENT)
