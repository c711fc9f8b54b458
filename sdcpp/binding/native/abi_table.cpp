/* Prints the compiler's sizes, offsets and enumerators of upstream's public header as JSON: the ABI table.
 *
 * This program is C++, because the headers of some revisions are not valid C: they name an enum by its tag alone. The
 * library is compiled as C++ from the same header.
 *
 * sdcpp/binding/layouts.py generates abi_entries.h from the header that Python has parsed. That file repeats the
 * prototype of each function, which does not compile if Python parsed it wrongly. Its functions use these macros: S for
 * a struct, F for each of its fields, E for its end, V for the size of an enum or the value of an enumerator, and N
 * between two entries. */
#include <stddef.h>
#include <stdio.h>

/* With C linkage, two prototypes of one function that differ are an error. Otherwise they would be overloads. */
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
