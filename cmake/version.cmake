# --version says which commit was built and whether files differed from it: "0.1.0 (v0.1.0-12-gabcdef0-dirty)", or "0.1.0" outside a git
# checkout. Run as a script at every build, it writes the header; what includes it is compiled again only where it says something else.
if(CMAKE_SCRIPT_MODE_FILE)
  cmake_minimum_required(VERSION 3.25)
  find_package(Git QUIET)
  if(GIT_FOUND AND EXISTS ${SOURCE}/.git)
    execute_process(COMMAND ${GIT_EXECUTABLE} describe --tags --always --dirty WORKING_DIRECTORY ${SOURCE}
                    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  if(commit)
    set(VERSION "${VERSION} (${commit})")
  endif()
  file(CONFIGURE OUTPUT ${HEADER} CONTENT "#define DARKHORSE_VERSION \"@VERSION@\"\n" @ONLY)
  return()
endif()
set(version_header ${CMAKE_BINARY_DIR}/generated/version_generated.h)
add_custom_target(version BYPRODUCTS ${version_header}
                  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DVERSION=${PROJECT_VERSION}
                          -DHEADER=${version_header} -P ${CMAKE_CURRENT_LIST_FILE})
add_dependencies(dh_app version)
target_include_directories(dh_app PRIVATE ${CMAKE_BINARY_DIR}/generated)
