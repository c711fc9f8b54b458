/* Prints the compiler's view of upstream's public header as JSON: the ABI table.
 *
 * C++, because some revisions' headers are no C: they name an enum by its tag alone. The library is compiled from
 * the same header as C++.
 *
 * abi_entries.h is made by sdcpp/binding/layouts.py from the header as Python read it. It declares every function
 * again, which the compiler refuses if the reading was wrong, and holds one S/F/E or V line per struct,
 * field, enum and enumerator. */
#include <stddef.h>
#include <stdio.h>

/* C++ would take two declarations that contradict each other for two functions, had they not C's linkage. */
extern "C" {
#include "stable-diffusion.h"
}

#define S(type, name) printf("\n\"%s\": {\"size\": %lu, \"fields\": {", name, (unsigned long)sizeof(type));
#define F(type, field)               \
    printf("\"%s\": [%lu, %lu]",     \
           #field,                   \
           (unsigned long)offsetof(type, field), \
           (unsigned long)sizeof(((type*)0)->field));
#define E printf("}}");
#define V(name, value) printf("\"%s\": %lld", name, (long long)(value));
#define N printf(", ");

#include "abi_entries.h"

int main() {
    printf("{\"pointer\": %lu, \"structs\": {", (unsigned long)sizeof(void*));
    print_structs();
    printf("},\n\"enums\": {");
    print_enums();
    printf("},\n\"enumerators\": {");
    print_enumerators();
    printf("}}\n");
    return 0;
}
