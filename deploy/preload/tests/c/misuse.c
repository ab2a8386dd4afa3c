/* Pointers that are not ours: the program must end, with a line that says so. The argument chooses what is done. */
#include "check.h"
#include <malloc.h>
#include <sys/mman.h>

int main(int count, char **arguments) {
    static char in_program[64];
    char on_stack[64];
    CHECK(is_ours("malloc") && count == 2);
    const char *what = arguments[1];
    char *block = hide(malloc(100)), *huge = hide(malloc(3 << 20));
    printf("%s\n", what);
    fflush(stdout);
    if (!strcmp(what, "program")) free(hide(in_program + 16));
    if (!strcmp(what, "stack")) free(hide(on_stack));
    if (!strcmp(what, "mapping"))
        free(hide(mmap(NULL, 1 << 21, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
    if (!strcmp(what, "number")) free(hide((void *)16));
    if (!strcmp(what, "realloc")) free(realloc(hide(on_stack), 100));
    if (!strcmp(what, "usable")) return malloc_usable_size(hide(in_program + 16)) != 0;
    if (!strcmp(what, "other")) {
        /* A block of glibc's own allocator, which a library that was bound to it might hand out. */
        void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
        void *(*theirs)(size_t) = (void *(*)(size_t))dlsym(libc, "malloc");
        CHECK(theirs && (void *)theirs != dlsym(RTLD_DEFAULT, "malloc"));
        free(hide(theirs(100)));
    }
    if (!strcmp(what, "inside")) {
        free(block + 16);
        malloc_trim(0);
    }
    if (!strcmp(what, "huge")) free(huge + 4096);
    if (!strcmp(what, "twice")) {
        free(block);
        free(hide(block));
        malloc_trim(0);
    }
    if (!strcmp(what, "twice huge")) {
        free(huge);
        free(hide(huge));
    }
    printf("survived\n");
    return 0;
}
