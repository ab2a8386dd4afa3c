// <numaslab.h> in C++, before and beside the headers of the C library.
#include <numaslab.h>
#include <cstdlib>
#include <malloc.h>
#include "check.h"

int main() {
    CHECK(numaslab_mode() & NUMASLAB_STARTED);
    void *block = numaslab_alloc_on_node(numaslab_current_node(), 64, 100);
    CHECK(block && numaslab_node_of(block) == numaslab_current_node());
    std::free(block);
    return finish();
}
