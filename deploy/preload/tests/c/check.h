/* What the test programs share: a check that says where it failed, and how a program begins and ends. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long checks;

#define CHECK(condition) \
    do { \
        __atomic_add_fetch(&checks, 1, __ATOMIC_RELAXED); \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            _Exit(1); \
        } \
    } while (0)

/* No error number: whoever leaves `errno` alone leaves this. */
#define UNTOUCHED 4711

/* Keeps the compiler from knowing what a pointer is, and so from leaving out calls. */
static inline void *hide(void *pointer) {
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

static inline size_t hide_size(size_t size) {
    __asm__ volatile("" : "+r"(size));
    return size;
}

/* Whether the function called `name` is numaslab's. */
static inline int is_ours(const char *name) {
    Dl_info info;
    void *function = dlsym(RTLD_DEFAULT, name);
    return function && dladdr(function, &info) && strstr(info.dli_fname, "libnumaslab");
}

static inline int aligned_to(const void *pointer, size_t align) {
    return (uintptr_t)pointer % align == 0;
}

/* Writes every byte of a block, `size` of them at least. */
static inline void fill(void *block, size_t size, int mark) { memset(hide(block), mark, size); }

static inline int is_filled(const void *block, size_t size, int mark) {
    const unsigned char *bytes = (const unsigned char *)hide((void *)block);
    for (size_t at = 0; at < size; at++)
        if (bytes[at] != (unsigned char)mark) return 0;
    return 1;
}

/* The last line of a program that succeeds. */
static inline int finish(void) {
    printf("%lu checks passed\n", checks);
    return 0;
}

#endif
