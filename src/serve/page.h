// The page at /: a chat in one HTML file, which loads nothing from elsewhere.
#pragma once

#include <string_view>

namespace darkhorse {

std::string_view PageHtml();

// What a browser is told to allow it.
inline constexpr char kPagePolicy[] =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src "
    "'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace darkhorse
