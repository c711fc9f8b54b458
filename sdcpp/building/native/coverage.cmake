# Builds the library with gcov; see sdcpp/building/coverage.py. The project() call of CMakeLists.txt includes this file.
# What it does is deferred to the end of CMakeLists.txt, where the target exists.
#
# Only the library's own sources are measured. ggml computes what they ask for, and has upstream's own tests.
message(STATUS "Counting with gcov, recipe ${SDCPP_COVERAGE}")

function(sdcpp_measure_coverage)
    target_sources(${SDCPP_TARGET} PRIVATE "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/write_counters.c")
    target_compile_options(${SDCPP_TARGET} PRIVATE --coverage)
    target_link_options(${SDCPP_TARGET} PRIVATE --coverage)
endfunction()
cmake_language(DEFER CALL sdcpp_measure_coverage)
