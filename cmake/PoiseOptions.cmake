# The compiler's settings, for every target of ours (generated code is let off the warnings).
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo" FORCE)
endif()

option(POISE_WERROR "Treat warnings as errors (the presets set it)" OFF)
option(POISE_BENCH "Build the benchmarks of bench/" OFF)
option(POISE_FUZZ "Build the harnesses of tests/fuzz with libFuzzer: clang only (the preset fuzz sets it)" OFF)
set(POISE_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, such as address,undefined")

add_library(poise_options INTERFACE)
target_compile_definitions(poise_options INTERFACE _GNU_SOURCE)
target_compile_options(poise_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
  -Wformat=2 -Wundef -Wvla -Wcast-qual
  # Scores must be the same to the bit everywhere: no contraction into fused multiply-adds.
  -ffp-contract=off)
if(POISE_WERROR)
  target_compile_options(poise_options INTERFACE -Werror)
endif()
if(POISE_SANITIZE)
  target_compile_options(poise_options INTERFACE -fsanitize=${POISE_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(poise_options INTERFACE -fsanitize=${POISE_SANITIZE})
endif()
