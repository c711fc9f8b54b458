# Compiles the one large file that nearly every mutant touches without optimisation: in a third of the time. It
# builds graphs; what computes them is ggml, which is optimised as ever.
set_source_files_properties(src/stable-diffusion.cpp stable-diffusion.cpp
    PROPERTIES COMPILE_OPTIONS $<$<NOT:$<CXX_COMPILER_ID:MSVC>>:-O0>)
