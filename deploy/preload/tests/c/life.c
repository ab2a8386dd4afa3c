/* A process from its first moments to its last: constructors, threads and their destructors, fork, vfork, posix_spawn,
 * signal handlers, exit handlers. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A little of everything. */
static void work(unsigned seed, int rounds) {
    void *blocks[64] = {0};
    size_t sizes[64] = {0};
    for (int round = 0; round < rounds; round++) {
        seed = seed * 1103515245u + 12345u;
        unsigned at = seed >> 8 & 63;
        if (blocks[at]) CHECK(is_filled(blocks[at], sizes[at] < 64 ? sizes[at] : 64, (int)at));
        free(blocks[at]);
        sizes[at] = seed >> 16 & ((seed >> 14 & 3) ? 0xff : 0xffff);
        blocks[at] = malloc(sizes[at]);
        CHECK(blocks[at]);
        fill(blocks[at], sizes[at], (int)at);
    }
    for (unsigned at = 0; at < 64; at++) free(blocks[at]);
}

static void *from_constructor;

__attribute__((constructor(101))) static void early(void) {
    from_constructor = malloc(1000);
    fill(from_constructor, 1000, 9);
    work(1, 100);
}

/* Runs after all exit handlers, when streams are closed. */
__attribute__((destructor(101))) static void late(void) {
    work(2, 100);
    free(from_constructor);
    char *last = malloc(100);
    strcpy(last, "destructor reached\n");
    ssize_t written = write(STDOUT_FILENO, last, strlen(last));
    if (written < 0) _Exit(2);
    free(last);
}

static void at_exit(void) { work(3, 100); }

static void *thread(void *seed) {
    work((unsigned)(uintptr_t)seed, 3000);
    /* A block that the one who joins gives back. */
    char *answer = malloc(100);
    fill(answer, 100, 6);
    return answer;
}

static void threads_come_and_go(void) {
    for (int round = 0; round < 10; round++) {
        pthread_t all[8];
        for (uintptr_t at = 0; at < 8; at++) CHECK(pthread_create(&all[at], NULL, thread, (void *)(at + 1)) == 0);
        for (int at = 0; at < 8; at++) {
            void *answer;
            CHECK(pthread_join(all[at], &answer) == 0 && is_filled(answer, 100, 6));
            free(answer);
        }
    }
}

static pthread_key_t keys[40];
static int destroyed;

/* Allocates in the destructors of all rounds, after the allocator's own has run too. */
static void destroy(void *value) {
    free(value);
    work((unsigned)__atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED), 50);
    if (destroyed % 3 == 0) pthread_setspecific(keys[destroyed % 40], malloc(40));
}

static void *ends_by_pthread_exit(void *unused) {
    for (int at = 0; at < 40; at++) CHECK(pthread_setspecific(keys[at], malloc(100)) == 0);
    work(7, 500);
    pthread_exit(hide(unused));
}

static void *waits_to_be_cancelled(void *unused) {
    for (;;) {
        work(8, 50);
        pthread_testcancel();
    }
    return unused;
}

static void destructors_of_threads(void) {
    for (int at = 0; at < 40; at++) CHECK(pthread_key_create(&keys[at], destroy) == 0);
    for (int round = 0; round < 10; round++) {
        pthread_t one, other;
        CHECK(pthread_create(&one, NULL, ends_by_pthread_exit, NULL) == 0);
        CHECK(pthread_create(&other, NULL, waits_to_be_cancelled, NULL) == 0);
        CHECK(pthread_join(one, NULL) == 0);
        void *answer;
        CHECK(pthread_cancel(other) == 0 && pthread_join(other, &answer) == 0 && answer == PTHREAD_CANCELED);
    }
    CHECK(destroyed >= 400);
}

static int stop;

static void *busy(void *seed) {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) work((unsigned)(uintptr_t)seed, 200);
    return NULL;
}

static int exit_code(pid_t child) {
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void children(void) {
    pthread_t all[3];
    for (uintptr_t at = 0; at < 3; at++) CHECK(pthread_create(&all[at], NULL, busy, (void *)(at + 20)) == 0);
    char *shared = malloc(1000);
    fill(shared, 1000, 5);
    for (int round = 0; round < 30; round++) {
        pid_t child = fork();
        if (child == 0) {
            /* Gives back its parent's block, works, has threads and a child of its own. */
            CHECK(is_filled(shared, 1000, 5));
            free(shared);
            work(30, 500);
            pthread_t one;
            void *answer;
            CHECK(pthread_create(&one, NULL, thread, (void *)31) == 0 && pthread_join(one, &answer) == 0);
            free(answer);
            pid_t grandchild = fork();
            if (grandchild == 0) {
                work(32, 100);
                _exit(17);
            }
            _exit(exit_code(grandchild));
        }
        CHECK(exit_code(child) == 17);
        /* A child that shares its parent's memory until it executes. */
        pid_t borrower = vfork();
        if (borrower == 0) {
            free(hide(malloc(100)));
            execl("/bin/sh", "sh", "-c", "exit 18", (char *)NULL);
            _exit(1);
        }
        CHECK(exit_code(borrower) == 18);
        char *const arguments[] = {(char *)"sh", (char *)"-c", (char *)"exit 19", NULL};
        pid_t spawned;
        CHECK(posix_spawn(&spawned, "/bin/sh", NULL, NULL, arguments, environ) == 0);
        CHECK(exit_code(spawned) == 19);
    }
    CHECK(system("exit 20") == 20 << 8);
    FILE *pipe = popen("echo from a pipe", "r");
    char line[100];
    CHECK(pipe && fgets(line, sizeof line, pipe) && !strcmp(line, "from a pipe\n") && pclose(pipe) == 0);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int at = 0; at < 3; at++) CHECK(pthread_join(all[at], NULL) == 0);
    CHECK(is_filled(shared, 1000, 5));
    free(shared);
}

static volatile int ticks;

static void tick(int number) {
    int before = errno;
    char *block = malloc(hide_size(100 + (size_t)number));
    fill(block, 100, 1);
    free(block);
    ticks++;
    errno = before;
}

/* numaslab promises more than POSIX: a handler may allocate. */
static void handlers(void) {
    struct sigaction action = {0};
    action.sa_handler = tick;
    action.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval every = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
    while (ticks < 300) work(40, 500);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(signal(SIGALRM, SIG_DFL) != SIG_ERR);
}

int main(void) {
    CHECK(is_ours("malloc"));
    CHECK(is_filled(from_constructor, 1000, 9));
    CHECK(atexit(at_exit) == 0);
    /* More of these than the C library keeps in itself: it allocates. */
    for (int at = 0; at < 100; at++) CHECK(atexit(at_exit) == 0);
    threads_come_and_go();
    destructors_of_threads();
    children();
    handlers();
    return finish();
}
