/* Libraries that come and go. This program is in C and has no C++ runtime; its guest, the library named by the first
 * argument, brings one along. */
#include "check.h"
#include <pthread.h>

static void *hold(void *unused) {
    for (int round = 0; round < 2000; round++) {
        void *block = malloc(hide_size((size_t)round));
        fill(block, (size_t)round, 1);
        free(block);
    }
    return unused;
}

int main(int count, char **arguments) {
    CHECK(is_ours("malloc") && is_ours("_Znwm"));
    CHECK(count == 2);
    CHECK(dlsym(RTLD_DEFAULT, "_ZSt15get_new_handlerv") == NULL);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, hold, NULL) == 0);
    for (int round = 0; round < 20; round++) {
        void *guest = dlopen(arguments[1], RTLD_NOW | (round % 2 ? RTLD_LOCAL : RTLD_GLOBAL));
        if (!guest) fprintf(stderr, "%s\n", dlerror());
        CHECK(guest);
        char *(*gives)(void) = (char *(*)(void))dlsym(guest, "guest_gives");
        void (*takes)(void *) = (void (*)(void *))dlsym(guest, "guest_takes");
        int (*fails)(size_t) = (int (*)(size_t))dlsym(guest, "guest_fails");
        CHECK(gives && takes && fails);
        char *given = gives();
        CHECK(strstr(given, "of this thread") && strstr(given, "some words"));
        CHECK(fails((size_t)1 << 60) == 1 && fails(100) == 0);
        takes(malloc(5000));
        CHECK(dlclose(guest) == 0);
        free(given);
        CHECK(dlopen("/nowhere/lib.so", RTLD_NOW) == NULL && dlerror() != NULL);
    }
    CHECK(pthread_join(other, NULL) == 0);
    return finish();
}
