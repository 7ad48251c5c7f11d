# poise_module(NAME SOURCES a.c ... USES base model ... LINKS PkgConfig::X ...)
#   A static library poise_NAME of lib/NAME. USES names the modules that its headers and sources may
#   include (docs/architecture.md has the table; tests/layers checks it); LINKS are outside libraries.
function(poise_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES;LINKS" ${ARGN})
  add_library(poise_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(poise_${name} PRIVATE poise_options ${ARG_LINKS})
  target_include_directories(poise_${name} PUBLIC
    "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/lib")
  foreach(used IN LISTS ARG_USES)
    target_link_libraries(poise_${name} PUBLIC poise_${used})
  endforeach()
endfunction()

# poise_test(NAME LABEL unit SOURCES ... LINKS ... [TIMEOUT 300] [ONE_THREAD])
#   A cmocka program registered with ctest. ONE_THREAD: neither it nor what it tests starts a thread, so that
#   ThreadSanitizer, which makes it some ten times as long, has nothing to see.
function(poise_test name)
  cmake_parse_arguments(ARG "ONE_THREAD" "LABEL;TIMEOUT" "SOURCES;LINKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE poise_options ${ARG_LINKS} PkgConfig::CMOCKA)
  target_include_directories(test_${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  if(ARG_ONE_THREAD AND POISE_SANITIZE MATCHES thread)
    set_target_properties(test_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    return()
  endif()
  add_test(NAME ${ARG_LABEL}.${name} COMMAND test_${name})
  set_tests_properties(${ARG_LABEL}.${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()
