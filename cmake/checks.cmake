# Checks of the source tree and of the built program, run by ctest like any test. Each check also
# proves on made-up input that it can fail.
foreach(check layers lengths format weak_symbols)
  add_test(NAME check_${check}_self_test COMMAND ${CMAKE_SOURCE_DIR}/tools/check_${check} --self-test)
  set(subject ${CMAKE_SOURCE_DIR})
  if(check STREQUAL "weak_symbols")
    set(subject ${CMAKE_BINARY_DIR})
  endif()
  add_test(NAME check_${check} COMMAND ${CMAKE_SOURCE_DIR}/tools/check_${check} ${subject})
endforeach()

add_test(NAME setup_test COMMAND ${CMAKE_SOURCE_DIR}/tests/setup_test.py)
if(TARGET darkhorse)
  add_test(NAME cli_test COMMAND ${CMAKE_SOURCE_DIR}/tests/cli_test.py $<TARGET_FILE:darkhorse>)
  add_test(NAME kill_test COMMAND ${CMAKE_SOURCE_DIR}/tests/kill_test.py $<TARGET_FILE:darkhorse>)
  add_test(NAME own_task_test COMMAND ${CMAKE_SOURCE_DIR}/tests/own_task_test.py $<TARGET_FILE:darkhorse>)
  add_test(NAME report_page_test COMMAND ${CMAKE_SOURCE_DIR}/tests/report_page_test.py $<TARGET_FILE:darkhorse>)
  add_test(NAME run_test COMMAND ${CMAKE_SOURCE_DIR}/tests/run_test.py $<TARGET_FILE:darkhorse>)
endif()
