# Turns recipes/*.toml into a source file (src/app/embedded_recipes.h). A changed or new recipe re-runs this.
file(GLOB recipes CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/recipes/*.toml)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${recipes})
set(entries "")
foreach(recipe ${recipes})
  get_filename_component(name ${recipe} NAME_WE)
  file(READ ${recipe} text)
  string(APPEND entries "    {\"${name}\", R\"recipe(${text})recipe\"},\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/embedded_recipes.cc CONTENT
"#include \"app/embedded_recipes.h\"

namespace darkhorse {
namespace {
const EmbeddedRecipe kRecipes[] = {
@entries@};
}
std::span<const EmbeddedRecipe> EmbeddedRecipes() { return kRecipes; }
}  // namespace darkhorse
" @ONLY)
