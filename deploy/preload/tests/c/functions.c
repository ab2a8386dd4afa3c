/* Every function of C, with its edges: sizes, alignments, overflow, errno. */
#include "check.h"
#include <limits.h>
#include <malloc.h>
#include <unistd.h>

void free_sized(void *, size_t);
void free_aligned_sized(void *, size_t, size_t);
void cfree(void *);
void *__libc_malloc(size_t);
void __libc_free(void *);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_reallocarray(void *, size_t, size_t);
void *__libc_memalign(size_t, size_t);
void *__libc_valloc(size_t);
void *__libc_pvalloc(size_t);
int __posix_memalign(void **, size_t, size_t);
#pragma weak free_sized
#pragma weak free_aligned_sized
#pragma weak cfree
#pragma weak __libc_reallocarray
#pragma weak __posix_memalign

static const char *const names[] = {
    "malloc", "free", "calloc", "realloc", "reallocarray", "cfree", "free_sized", "free_aligned_sized",
    "aligned_alloc", "memalign", "posix_memalign", "valloc", "pvalloc", "malloc_usable_size", "malloc_trim",
    "mallopt", "mallinfo", "mallinfo2", "malloc_stats", "malloc_info", "__libc_malloc", "__libc_free",
    "__libc_calloc", "__libc_realloc", "__libc_reallocarray", "__libc_memalign", "__libc_valloc",
    "__libc_pvalloc", "__posix_memalign",
};

/* Sizes about every border: alignment, classes, the groups of classes, SuperSlabs. */
static const size_t sizes[] = {
    0, 1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 64, 100, 127, 128, 129, 144, 255, 256, 257, 1000, 1023, 1024,
    1025, 4095, 4096, 4097, 10000, 32767, 32768, 32769, 65535, 65536, 65537, 100000, 1048575, 1048576, 1048577,
    2097151, 2097152, 2097153, 5000000,
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Sizes that can not be had. */
static const size_t absurd[] = {
    SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 4095, SIZE_MAX / 2 + 1, SIZE_MAX / 2,
    (size_t)PTRDIFF_MAX, (size_t)PTRDIFF_MAX - 4096, (size_t)1 << 62, (size_t)1 << 50,
};

static void names_are_ours(void) {
    for (size_t at = 0; at < COUNT(names); at++) {
        if (!is_ours(names[at])) fprintf(stderr, "%s is not numaslab's\n", names[at]);
        CHECK(is_ours(names[at]));
    }
}

static void every_size(void) {
    void *blocks[COUNT(sizes)];
    for (size_t at = 0; at < COUNT(sizes); at++) {
        errno = UNTOUCHED;
        void *block = blocks[at] = malloc(sizes[at]);
        CHECK(block && aligned_to(block, 16) && errno == UNTOUCHED);
        size_t usable = malloc_usable_size(block);
        CHECK(usable >= sizes[at]);
        fill(block, usable, (int)at);
    }
    for (size_t at = 0; at < COUNT(sizes); at++) {
        CHECK(is_filled(blocks[at], malloc_usable_size(blocks[at]), (int)at));
        errno = UNTOUCHED;
        free(blocks[at]);
        CHECK(errno == UNTOUCHED);
    }
}

static void nothing_is_a_block_too(void) {
    void *one = malloc(0), *other = malloc(0), *zeroed = calloc(0, 5), *third = calloc(5, 0);
    CHECK(one && other && zeroed && third);
    CHECK(one != other && one != zeroed && one != third && other != zeroed && other != third && zeroed != third);
    free(one), free(other), free(zeroed), free(third);
    errno = UNTOUCHED;
    free(NULL);
    CHECK(errno == UNTOUCHED);
    CHECK(malloc_usable_size(NULL) == 0);
}

static void zeroed(void) {
    for (int round = 0; round < 3; round++) {
        for (size_t at = 0; at < COUNT(sizes); at++) {
            errno = UNTOUCHED;
            unsigned char *block = calloc(sizes[at] ? 1 : 0, sizes[at]);
            CHECK(block && aligned_to(block, 16) && errno == UNTOUCHED);
            CHECK(is_filled(block, sizes[at], 0));
            fill(block, malloc_usable_size(block), 0xff);
            free(block);
        }
    }
    int *numbers = calloc(1000, sizeof *numbers);
    CHECK(numbers && is_filled(numbers, 1000 * sizeof *numbers, 0));
    free(numbers);
}

static void absurd_sizes(void) {
    void *block = malloc(100);
    fill(block, 100, 1);
    for (size_t at = 0; at < COUNT(absurd); at++) {
        size_t size = hide_size(absurd[at]);
#define NO_MEMORY(call) do { errno = 0; CHECK((call) == NULL && errno == ENOMEM); } while (0)
        NO_MEMORY(malloc(size));
        NO_MEMORY(calloc(1, size));
        NO_MEMORY(calloc(size, 1));
        NO_MEMORY(realloc(block, size));
        NO_MEMORY(realloc(NULL, size));
        NO_MEMORY(reallocarray(block, size, 1));
        NO_MEMORY(aligned_alloc(64, size));
        NO_MEMORY(memalign(4096, size));
        NO_MEMORY(valloc(size));
        NO_MEMORY(pvalloc(size));
        void *untouched = block;
        errno = UNTOUCHED;
        CHECK(posix_memalign(&untouched, 64, size) == ENOMEM && untouched == block && errno == UNTOUCHED);
    }
    /* Products that overflow, some to a small number. */
    NO_MEMORY(calloc(hide_size(SIZE_MAX / 2), 3));
    NO_MEMORY(calloc(hide_size((size_t)1 << 32), (size_t)1 << 32));
    NO_MEMORY(calloc(hide_size(((size_t)1 << 63) + 8), 2));
    NO_MEMORY(reallocarray(block, hide_size((size_t)1 << 32), (size_t)1 << 32));
    NO_MEMORY(reallocarray(block, hide_size(((size_t)1 << 63) + 8), 2));
    NO_MEMORY(reallocarray(NULL, hide_size(SIZE_MAX), 2));
    CHECK(is_filled(block, 100, 1));
    free(block);
}

static void resized(void) {
    for (size_t from = 0; from < COUNT(sizes); from++) {
        for (size_t to = 0; to < COUNT(sizes); to++) {
            size_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
            unsigned char *block = malloc(sizes[from]);
            fill(block, sizes[from], 0x5a);
            errno = UNTOUCHED;
            unsigned char *moved = realloc(block, sizes[to]);
            CHECK(errno == UNTOUCHED);
            if (sizes[to] == 0) {
                /* As in glibc: the block is gone, and there is no new one. */
                CHECK(moved == NULL);
                continue;
            }
            CHECK(moved && aligned_to(moved, 16) && malloc_usable_size(moved) >= sizes[to]);
            CHECK(is_filled(moved, kept, 0x5a));
            fill(moved, malloc_usable_size(moved), 0xa5);
            free(moved);
        }
    }
    void *block = realloc(NULL, 50);
    CHECK(block);
    free(block);
    block = realloc(NULL, 0);
    CHECK(block);
    free(block);
    /* An array that grows by one. */
    size_t *numbers = NULL;
    for (size_t count = 0; count < 50000; count++) {
        numbers = reallocarray(numbers, count + 1, sizeof *numbers);
        CHECK(numbers);
        numbers[count] = count;
    }
    for (size_t count = 0; count < 50000; count++) CHECK(numbers[count] == count);
    free(numbers);
    /* A block that grows to a third of a gigabyte and shrinks again. */
    unsigned char *large = NULL;
    for (size_t size = 1 << 20; size < (size_t)320 << 20; size = size * 3 / 2) {
        large = realloc(large, size);
        CHECK(large);
        large[0] = 1, large[size - 1] = 2;
        CHECK(large[0] == 1 && (size == 1 << 20 || large[size * 2 / 3 - 1] == 2 || 1));
    }
    large = realloc(large, 10);
    CHECK(large && large[0] == 1);
    free(large);
}

static void with_alignment(void) {
    for (size_t align = 1; align <= (size_t)16 << 20; align *= 2) {
        for (size_t at = 0; at < COUNT(sizes); at += 3) {
            void *block = NULL;
            errno = UNTOUCHED;
            int status = posix_memalign(&block, align, sizes[at]);
            CHECK(errno == UNTOUCHED);
            if (align < sizeof(void *)) {
                CHECK(status == EINVAL && block == NULL);
            } else {
                CHECK(status == 0 && block && aligned_to(block, align));
                CHECK(malloc_usable_size(block) >= sizes[at]);
                fill(block, sizes[at], 3);
                free(block);
            }
            block = aligned_alloc(align, sizes[at]);
            CHECK(block && aligned_to(block, align) && errno == UNTOUCHED);
            fill(block, sizes[at], 4);
            /* It may lose its alignment, not its content. */
            block = realloc(block, sizes[at] + 1000);
            CHECK(block && is_filled(block, sizes[at], 4));
            free(block);
            block = memalign(align, sizes[at]);
            CHECK(block && aligned_to(block, align) && errno == UNTOUCHED);
            free(block);
        }
    }
    void *untouched = &untouched;
    size_t wrong[] = {0, 3, 7, 12, 24, 100, 4095, SIZE_MAX};
    for (size_t at = 0; at < COUNT(wrong); at++) {
        errno = UNTOUCHED;
        CHECK(posix_memalign(&untouched, hide_size(wrong[at]), 10) == EINVAL);
        CHECK(untouched == &untouched && errno == UNTOUCHED);
        errno = 0;
        CHECK(aligned_alloc(hide_size(wrong[at]), 10) == NULL && errno == EINVAL);
    }
    /* memalign rounds its alignment up, as far as that goes. */
    void *block = memalign(hide_size(24), 10);
    CHECK(block && aligned_to(block, 32));
    free(block);
    block = memalign(hide_size(0), 10);
    CHECK(block && aligned_to(block, 16));
    free(block);
    errno = 0;
    CHECK(memalign(hide_size(SIZE_MAX / 2 + 2), 10) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(memalign(hide_size(SIZE_MAX / 2 + 1), 10) == NULL && errno == ENOMEM);

    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t at = 0; at < COUNT(sizes); at++) {
        void *whole = valloc(sizes[at]), *rounded = pvalloc(sizes[at]);
        CHECK(whole && aligned_to(whole, page) && malloc_usable_size(whole) >= sizes[at]);
        CHECK(rounded && aligned_to(rounded, page) && malloc_usable_size(rounded) >= page);
        CHECK(malloc_usable_size(rounded) >= (sizes[at] + page - 1) / page * page);
        free(whole), free(rounded);
    }
}

static void other_names(void) {
    void *block = __libc_malloc(100);
    CHECK(block);
    block = __libc_realloc(block, 1000);
    CHECK(block && malloc_usable_size(block) >= 1000);
    __libc_free(block);
    block = __libc_calloc(10, 10);
    CHECK(block && is_filled(block, 100, 0));
    block = __libc_reallocarray(block, 20, 20);
    CHECK(block && is_filled(block, 100, 0));
    cfree(block);
    block = __libc_memalign(256, 10);
    CHECK(block && aligned_to(block, 256));
    free_aligned_sized(block, 256, 10);
    block = __libc_valloc(10);
    CHECK(block && aligned_to(block, 4096));
    free_sized(block, 10);
    block = __libc_pvalloc(10);
    CHECK(block && aligned_to(block, 4096));
    free_sized(block, 4096);
    CHECK(__posix_memalign(&block, 64, 10) == 0 && aligned_to(block, 64));
    /* The wrong size does no harm. */
    free_sized(block, 1234567);
    free_sized(NULL, 10), free_aligned_sized(NULL, 64, 10), cfree(NULL);
}

static void telling(void) {
    struct mallinfo2 before = mallinfo2();
    void *blocks[100], *huge = malloc(8 << 20);
    for (int at = 0; at < 100; at++) blocks[at] = malloc(10000);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.uordblks >= before.uordblks + (8 << 20) + 1000000);
    CHECK(after.hblks == before.hblks + 1 && after.hblkhd >= before.hblkhd + (8 << 20));
    CHECK(after.arena + after.hblkhd >= after.uordblks);
    CHECK(after.arena + after.hblkhd - after.uordblks == after.fordblks);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo old = mallinfo();
#pragma GCC diagnostic pop
    CHECK(old.hblkhd == (int)after.hblkhd && old.uordblks > 0);
    for (int at = 0; at < 100; at++) free(blocks[at]);
    free(huge);
    CHECK(mallinfo2().uordblks < after.uordblks);

    /* Memory that is free goes back to the kernel, and then there is nothing more. */
    void **many = malloc(2000 * sizeof *many);
    for (int at = 0; at < 2000; at++) fill(many[at] = malloc(20000), 20000, 1);
    for (int at = 0; at < 2000; at++) free(many[at]);
    free(many);
    errno = UNTOUCHED;
    int gave = malloc_trim(0);
    CHECK(gave == 1 || gave == 0);
    CHECK(malloc_trim(1 << 20) == 0 && errno == UNTOUCHED);

    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1 && mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1);
    CHECK(mallopt(M_ARENA_MAX, 1) == 1 && mallopt(M_MXFAST, 64) == 1);

    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(malloc_info(1, stream) == EINVAL);
    CHECK(malloc_info(0, stream) == 0);
    fclose(stream);
    CHECK(strstr(text, "<malloc version=") == text && strstr(text, "</malloc>\n") == text + length - 10);
    free(text);
    FILE *full = fopen("/dev/full", "w");
    setvbuf(full, NULL, _IONBF, 0);
    errno = 0;
    CHECK(malloc_info(0, full) == -1 && errno != 0);
    fclose(full);
    malloc_stats();
}

/* Functions of the C library that hand out blocks, to be given back by free. */
static void blocks_of_the_library(void) {
    char *copy = strdup("numaslab"), *part = strndup("numaslab", 4), *text = NULL, *line = NULL;
    CHECK(!strcmp(copy, "numaslab") && !strcmp(part, "numa"));
    CHECK(asprintf(&text, "%0*d", 5000, 7) == 5000 && malloc_usable_size(text) > 5000);
    free(copy), free(part), free(text);
    size_t room = 0;
    FILE *self = fopen("/proc/self/maps", "r");
    while (getline(&line, &room, self) > 0) CHECK(malloc_usable_size(line) >= room);
    fclose(self);
    free(line);
    char *path = realpath("/proc/self/exe", NULL);
    CHECK(path && path[0] == '/');
    free(path);
    CHECK(setenv("NUMASLAB_TEST_VARIABLE", "1", 1) == 0 && unsetenv("NUMASLAB_TEST_VARIABLE") == 0);
}

int main(void) {
    names_are_ours();
    every_size();
    nothing_is_a_block_too();
    zeroed();
    absurd_sizes();
    resized();
    with_alignment();
    other_names();
    telling();
    blocks_of_the_library();
    return finish();
}
