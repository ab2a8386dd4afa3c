// A library that is loaded and unloaded: it allocates in its constructors and destructors, and in threads.
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static std::vector<std::string> *words = new std::vector<std::string>(1000, "some words that do not fit into a string");

struct Guard {
    ~Guard() { delete words; }
};
static Guard guard;

static thread_local std::string mine = "a string of this thread, long enough to be a block";

extern "C" char *guest_gives() {
    std::string sum;
    std::thread([&sum] { sum = mine + words->at(500); }).join();
    char *given = static_cast<char *>(malloc(sum.size() + 1));
    sum.copy(given, sum.size());
    given[sum.size()] = 0;
    return given;
}

// Fails to allocate, in a library that brought the C++ runtime along, and lives on.
extern "C" int guest_fails(size_t size) {
    try {
        char *block = new char[size];
        // What the compiler does not see it can't leave out.
        __asm__ volatile("" : "+r"(block) : : "memory");
        delete[] block;
        return 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

extern "C" void guest_takes(void *block) { free(block); }
