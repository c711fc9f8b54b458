/* Part of a library that is built with gcov; see sdcpp/building/coverage.py.
 *
 * gcov writes its counters when a process exits. Pictures are made in copies of a process that end with _exit, which
 * skips that. __gcov_dump itself is hidden in each library, so a caller needs a function that the library exports. */

extern void __gcov_dump(void);
extern void __gcov_reset(void);

__attribute__((visibility("default"))) void sdcpp_write_counters(void);

/* Adds the counters of this process to the .gcda files, which gcov locks, and sets them to 0. Without the reset, a
 * second call would do nothing, also in a copy that is made after the first call. */
void sdcpp_write_counters(void) {
    __gcov_dump();
    __gcov_reset();
}
