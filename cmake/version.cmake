# --version says which commit was configured: "0.1.0 (v0.1.0-12-gabcdef0)", or "0.1.0" outside a git checkout.
find_package(Git QUIET)
set(version ${PROJECT_VERSION})
if(GIT_FOUND AND EXISTS ${CMAKE_SOURCE_DIR}/.git)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --tags --always WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --git-path logs/HEAD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                  OUTPUT_VARIABLE log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  get_filename_component(log "${log}" ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
  if(EXISTS ${log})  # grows with each commit, which configures anew
    set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${log})
  endif()
  if(commit)
    set(version "${version} (${commit})")
  endif()
endif()
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/app/app.cc TARGET_DIRECTORY dh_app
                            PROPERTIES COMPILE_DEFINITIONS "DARKHORSE_VERSION=\"${version}\"")
