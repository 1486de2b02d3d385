// Which instruction set runs: the best that the processor has, looked up once.
#include <cstring>
#include <initializer_list>

#include "kernel.h"

namespace slatewise {

const Instructions* instructions(const char* name) {
    for (const Instructions* set : {avx512vnni(), avx2(), neon(), portable()}) {
        if (set != nullptr && (name == nullptr || std::strcmp(name, set->name) == 0)) return set;
    }
    return nullptr;
}

}  // namespace slatewise
