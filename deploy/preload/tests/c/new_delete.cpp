// operator new and operator delete in all forms: as expressions, called by name, and when there is no memory.
#include "check.h"
#include <cstddef>
#include <malloc.h>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

static const char *const names[] = {
    "_Znwm", "_Znam", "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t", "_ZnamSt11align_val_tRKSt9nothrow_t", "_ZdlPv", "_ZdaPv", "_ZdlPvm",
    "_ZdaPvm", "_ZdlPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t", "_ZdlPvSt11align_val_t", "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t", "_ZdaPvmSt11align_val_t", "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
};

struct Plain {
    char bytes[40];
    virtual ~Plain() {}
};

struct alignas(64) Line {
    char bytes[64];
};

struct alignas(8192) Pages {
    char bytes[100];
};

struct Throws {
    char bytes[100];
    Throws() { throw 7; }
};

static void *checked(void *block, std::size_t size, std::size_t align) {
    CHECK(block && aligned_to(block, align) && malloc_usable_size(block) >= size);
    fill(block, size, 1);
    return hide(block);
}

static void by_name() {
    for (std::size_t size : {0, 1, 8, 24, 100, 1024, 5000, 40000, 1 << 20, 3 << 20}) {
        ::operator delete(checked(::operator new(size), size, 16));
        ::operator delete(checked(::operator new(size), size, 16), size);
        ::operator delete(checked(::operator new(size), size, 16), std::nothrow);
        ::operator delete[](checked(::operator new[](size), size, 16));
        ::operator delete[](checked(::operator new[](size), size, 16), size);
        ::operator delete[](checked(::operator new[](size), size, 16), std::nothrow);
        ::operator delete(checked(::operator new(size, std::nothrow), size, 16));
        ::operator delete[](checked(::operator new[](size, std::nothrow), size, 16));
        for (std::size_t align = 1; align <= 1 << 18; align *= 4) {
            std::align_val_t to{align};
            ::operator delete(checked(::operator new(size, to), size, align), to);
            ::operator delete(checked(::operator new(size, to), size, align), size, to);
            ::operator delete(checked(::operator new(size, to), size, align), to, std::nothrow);
            ::operator delete[](checked(::operator new[](size, to), size, align), to);
            ::operator delete[](checked(::operator new[](size, to), size, align), size, to);
            ::operator delete[](checked(::operator new[](size, to), size, align), to, std::nothrow);
            ::operator delete(checked(::operator new(size, to, std::nothrow), size, align), to);
            ::operator delete[](checked(::operator new[](size, to, std::nothrow), size, align), to);
        }
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
    ::operator delete(nullptr, std::size_t{10});
    ::operator delete(nullptr, std::align_val_t{64});
    // As C++ programs do that were built before sized deallocation: one kind gives back the other's blocks.
    std::free(hide(::operator new(100)));
    ::operator delete(hide(std::malloc(100)));
}

static void expressions() {
    Plain *plain = new Plain, *array = new Plain[50];
    Line *line = new Line, *lines = new Line[7];
    Pages *pages = new Pages, *few = new (std::nothrow) Pages[3];
    CHECK(aligned_to(line, 64) && aligned_to(lines, 64) && aligned_to(pages, 8192) && aligned_to(few, 8192));
    delete plain;
    delete[] array;
    delete line;
    delete[] lines;
    delete pages;
    delete[] few;
    // A constructor that throws gives its block back.
    struct mallinfo2 before = mallinfo2();
    for (int round = 0; round < 1000; round++) {
        try {
            new Throws;
            CHECK(!"reached");
        } catch (int number) {
            CHECK(number == 7);
        }
    }
    CHECK(mallinfo2().uordblks <= before.uordblks + 4096);
}

static void containers() {
    std::map<std::string, std::vector<int>> lists;
    for (int at = 0; at < 20000; at++) lists["a key that is longer than a string holds " + std::to_string(at % 500)].push_back(at);
    std::size_t sum = 0;
    for (const auto &list : lists) sum += list.second.size();
    CHECK(lists.size() == 500 && sum == 20000);
    auto shared = std::make_shared<std::string>(100, 'x');
    std::thread([shared] { CHECK(shared->size() == 100); }).join();
}

static thread_local std::string late = "a string whose destructor runs when its thread ends, with a block of its own";

static void thread_locals() {
    for (int round = 0; round < 50; round++) std::thread([] { late += late; }).join();
}

static int handled;
static std::size_t absurd = std::size_t{1} << 60;

static void gives_up() {
    if (++handled % 3 == 0) std::set_new_handler(nullptr);
}

static void throws() {
    ++handled;
    throw std::bad_alloc();
}

struct Other {};
static void throws_other() { throw Other(); }

// Calls `allocate` without memory to be had: it must throw std::bad_alloc, with no handler, after a handler that gives
// up, and out of one.
template <class Allocate> static void fails(Allocate allocate) {
    auto attempt = [&] {
        try {
            (void)hide(allocate());
        } catch (const std::bad_alloc &) {
            return true;
        }
        return false;
    };
    std::set_new_handler(nullptr);
    CHECK(attempt());
    handled = 0;
    std::set_new_handler(gives_up);
    CHECK(attempt() && handled == 3);
    std::set_new_handler(throws);
    CHECK(attempt() && handled == 4);
    std::set_new_handler(nullptr);
}

// Likewise for the forms that return null instead.
template <class Allocate> static void is_null(Allocate allocate) {
    std::set_new_handler(nullptr);
    CHECK(allocate() == nullptr);
    handled = 0;
    std::set_new_handler(gives_up);
    CHECK(allocate() == nullptr && handled == 3);
    std::set_new_handler(throws);
    CHECK(allocate() == nullptr && handled == 4);
    std::set_new_handler(nullptr);
}

static void without_memory() {
    const std::align_val_t line{64};
    fails([] { return ::operator new(absurd); });
    fails([] { return ::operator new[](absurd); });
    fails([=] { return ::operator new(absurd, line); });
    fails([=] { return ::operator new[](absurd, line); });
    is_null([] { return ::operator new(absurd, std::nothrow); });
    is_null([] { return ::operator new[](absurd, std::nothrow); });
    is_null([=] { return ::operator new(absurd, line, std::nothrow); });
    is_null([=] { return ::operator new[](absurd, line, std::nothrow); });
    // What else a handler throws comes through.
    std::set_new_handler(throws_other);
    bool came = false;
    try {
        (void)hide(::operator new(absurd));
    } catch (const Other &) {
        came = true;
    }
    CHECK(came);
    std::set_new_handler(nullptr);
    // A handler that finds memory: the request is tried again.
    try {
        std::vector<char> much(hide_size(absurd));
        CHECK(!"reached");
    } catch (const std::bad_alloc &) {
        CHECK(true);
    }
}

// Objects on the way of an exception are destroyed.
struct Counted {
    int &count;
    ~Counted() { count++; }
};

__attribute__((noinline)) static void deep(int depth, int &count) {
    Counted counted{count};
    if (depth == 0) {
        (void)hide(::operator new(absurd));
    } else {
        deep(depth - 1, count);
    }
}

static void exceptions_unwind() {
    int count = 0;
    for (int round = 0; round < 10; round++) {
        try {
            deep(20, count);
        } catch (const std::bad_alloc &) {
            count += 100;
        }
    }
    CHECK(count == 10 * (21 + 100));
}

int main() {
    for (const char *name : names) CHECK(is_ours(name));
    by_name();
    expressions();
    containers();
    thread_locals();
    without_memory();
    exceptions_unwind();
    return finish();
}
