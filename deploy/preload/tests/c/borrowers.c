/* Children of vfork, which share their parent's memory and stack, allocate while threads do on all CPUs: no block is in
 * two hands. */
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 3, BLOCKS = 64, BYTES = 50 };

static int stop;

/* Holds blocks for a while, of one size, so that one that another thread has too is found soon. */
static void hold(int mark, int rounds) {
    void *blocks[BLOCKS] = {0};
    unsigned seed = (unsigned)mark;
    for (int round = 0; round < rounds; round++) {
        seed = seed * 1103515245u + 12345u;
        unsigned at = seed >> 8 & (BLOCKS - 1);
        if (blocks[at]) CHECK(is_filled(blocks[at], BYTES, mark));
        free(blocks[at]);
        blocks[at] = malloc(BYTES);
        CHECK(blocks[at]);
        fill(blocks[at], BYTES, mark);
    }
    for (int at = 0; at < BLOCKS; at++) free(blocks[at]);
}

static void *busy(void *mark) {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) hold((int)(intptr_t)mark, 1000);
    return NULL;
}

static void *from_child;
static volatile int depth;

/* What a child does; it may have a child of its own. In a function, whose frame the child does away with. */
__attribute__((noinline)) static void borrow(int generations) {
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
        hold(100 + generations, 500);
        free(from_child);
        from_child = malloc(hide_size(5000));
        fill(from_child, 5000, 8);
        depth++;
        if (generations > 1) borrow(generations - 1);
        hold(110 + generations, 500);
        _exit(40 + generations);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 40 + generations);
    /* The child's block is the parent's now. */
    CHECK(is_filled(from_child, 5000, 8));
    hold(120, 500);
}

/* A thread's first request may be its child's. */
static void *new_thread(void *unused) {
    borrow(1);
    return unused;
}

/* A thread that may start no process gets an error number, and goes on. */
static void refused(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        /* The limit is not for root. */
        CHECK(geteuid() != 0 || setuid(65534) == 0);
        CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
        for (int round = 0; round < 3; round++) {
            errno = UNTOUCHED;
            CHECK(vfork() == -1 && errno == EAGAIN);
            hold(121, 500);
        }
        _exit(50);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 50);
}

int main(void) {
    CHECK(is_ours("malloc"));
    pthread_t all[THREADS];
    for (intptr_t at = 0; at < THREADS; at++) CHECK(pthread_create(&all[at], NULL, busy, (void *)(at + 1)) == 0);
    for (int round = 0; round < 60; round++) {
        borrow(1 + round % 3);
        pthread_t one;
        CHECK(pthread_create(&one, NULL, new_thread, NULL) == 0 && pthread_join(one, NULL) == 0);
    }
    CHECK(depth == 60 / 3 * (1 + 2 + 3) + 60);
    refused();
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int at = 0; at < THREADS; at++) CHECK(pthread_join(all[at], NULL) == 0);
    free(from_child);
    return finish();
}
