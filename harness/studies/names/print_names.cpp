// Prints the name to which stable-diffusion.cpp converts each name of a tensor.
//
// Linked with the built library (program.py). Reads lines with the number of a version and a name, and writes the new
// names. The library's own function is declared here, so that no header of a revision is needed.
#include <iostream>
#include <string>

enum SDVersion : unsigned;
std::string convert_tensor_name(std::string name, SDVersion version);

int main() {
    unsigned version = 0;
    std::string name;
    while (std::cin >> version >> name) {
        std::cout << convert_tensor_name(name, static_cast<SDVersion>(version)) << "\n";
    }
}
