/* numaslab's own functions, as <numaslab.h> declares them. */
#include "check.h"
#include <malloc.h>
#include <numaslab.h>

static uint64_t statistic(const char *name) {
    uint64_t value = 0;
    CHECK(numaslab_statistic(name, &value) == 0);
    return value;
}

static void modes_and_nodes(void) {
    CHECK(strchr(numaslab_version(), '.'));
    int mode = numaslab_mode();
    CHECK(mode & NUMASLAB_STARTED);
    const char *rseq = getenv("NUMASLAB_RSEQ");
    if (rseq && !strcmp(rseq, "off")) CHECK(!(mode & (NUMASLAB_PER_CPU | NUMASLAB_REVOCABLE)));
    CHECK((mode & NUMASLAB_PER_CPU) || !(mode & NUMASLAB_REVOCABLE));
    int nodes = numaslab_nodes();
    CHECK(nodes >= 1);
    CHECK((uint64_t)nodes == statistic("nodes"));
    CHECK(nodes > 1 || !(mode & NUMASLAB_BOUND));
    CHECK(numaslab_node_number(nodes) == -1 && numaslab_node_number(-1) == -1 && numaslab_node_number(256) == -1);
    int current = numaslab_current_node(), found = 0;
    for (int index = 0; index < nodes; index++) found |= numaslab_node_number(index) == current;
    CHECK(found);
}

static void blocks_of_nodes(void) {
    static const size_t sizes[] = {0, 1, 16, 100, 1024, 5000, 32768, 100000, 1 << 20, 3 << 20};
    for (int index = 0; index < numaslab_nodes(); index++) {
        int node = numaslab_node_number(index);
        for (size_t at = 0; at < sizeof sizes / sizeof *sizes; at++) {
            for (size_t align = 1; align <= 4096; align *= 8) {
                errno = UNTOUCHED;
                void *block = numaslab_alloc_on_node(node, align, sizes[at]);
                CHECK(block && errno == UNTOUCHED);
                CHECK(aligned_to(block, align) && aligned_to(block, 16));
                CHECK(malloc_usable_size(block) >= sizes[at]);
                CHECK(numaslab_node_of(block) == node);
                fill(block, sizes[at], 7);
                block = realloc(block, sizes[at] + 100);
                CHECK(block && is_filled(block, sizes[at], 7));
                if (align % 2) free(block);
                else free_aligned_sized(block, align, sizes[at] + 100);
            }
        }
    }
    int here;
    CHECK(numaslab_node_of(&here) == -1 && numaslab_node_of(NULL) == -1);
    static const int wrong[] = {-1, 1023, 70000};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        errno = 0;
        CHECK(!numaslab_alloc_on_node(wrong[at], 16, 100) && errno == EINVAL);
    }
    int node = numaslab_node_number(0);
    errno = 0;
    CHECK(!numaslab_alloc_on_node(node, 24, 100) && errno == EINVAL);
    errno = 0;
    CHECK(!numaslab_alloc_on_node(node, 0, 100) && errno == EINVAL);
    errno = 0;
    CHECK(!numaslab_alloc_on_node(node, 16, SIZE_MAX / 2 + 1) && errno == ENOMEM);
    errno = 0;
    CHECK(!numaslab_alloc_on_node(node, 16, (size_t)1 << 50) && errno == ENOMEM);
}

static void numbers_and_giving_back(void) {
    uint64_t unwritten = 7;
    errno = 0;
    CHECK(numaslab_statistic("no_such_number", &unwritten) == -1 && errno == EINVAL && unwritten == 7);
    uint64_t before = statistic("in_use_bytes");
    enum { COUNT = 20000, SIZE = 4000 };
    static void *blocks[COUNT];
    for (int at = 0; at < COUNT; at++) {
        blocks[at] = malloc(SIZE);
        fill(blocks[at], SIZE, 1);
    }
    CHECK(statistic("in_use_bytes") >= before + (uint64_t)COUNT * SIZE);
    for (int at = 0; at < COUNT; at++) free_sized(blocks[at], SIZE);
    CHECK(statistic("in_use_bytes") < before + (1 << 20));
    uint64_t mapped = statistic("mapped_bytes");
    errno = UNTOUCHED;
    numaslab_maintain();
    numaslab_send_home();
    size_t released = numaslab_trim();
    CHECK(errno == UNTOUCHED);
    CHECK(statistic("mapped_bytes") + released <= mapped + (4 << 20));
    CHECK(statistic("mapped_bytes") < mapped);
}

int main(void) {
    CHECK(is_ours("malloc") && is_ours("numaslab_mode"));
    modes_and_nodes();
    blocks_of_nodes();
    numbers_and_giving_back();
    return finish();
}
