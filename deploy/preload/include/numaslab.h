/* numaslab: a per-CPU, NUMA-aware, lock-free memory allocator.
 *
 * libnumaslab.so has malloc, free and their kin, and C++'s new and delete, under their own names: their declarations
 * stand in <stdlib.h>, <malloc.h> and <new>. Here is what is numaslab's own, and C23's functions for C libraries that
 * do not declare them. Link with -lnumaslab (pkg-config numaslab), or look the functions up with dlsym in programs
 * that may run with and without LD_PRELOAD.
 *
 * Nodes are numbered as the kernel does (/sys/devices/system/node/nodeN). Any thread may call any of these at any
 * time, a signal handler too; none ever waits. Licence: MIT or Apache-2.0.
 */
#ifndef NUMASLAB_H
#define NUMASLAB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, such as "0.1.0"; stays for ever. */
const char *numaslab_version(void);

/* What numaslab does on this host; starts it if it has not begun. numaslab-doctor says why. */
enum {
    NUMASLAB_STARTED = 1,   /* there was memory to start with */
    NUMASLAB_PER_CPU = 2,   /* blocks are cached per CPU, else per thread */
    NUMASLAB_REVOCABLE = 4, /* caches of other CPUs can be drained */
    NUMASLAB_BOUND = 8      /* memory is bound to its node; never set if there is one node only */
};
int numaslab_mode(void);

/* How many nodes are in use, 1 at least; and the number of each, index from 0; -1 beyond the last. */
int numaslab_nodes(void);
int numaslab_node_number(int index);

/* The node from which the calling thread gets memory now. */
int numaslab_current_node(void);

/* The node of a block, without a system call; -1 for what is no block, and for blocks over 1 MiB that found no room
 * in any node's range. Any pointer will do. */
int numaslab_node_of(const void *block);

/* A block of size bytes on that node, aligned to align (a power of two; 16 at least is given), to be given back by
 * free. NULL and errno: EINVAL if there is no such node or align is no power of two, ENOMEM if that node has no
 * memory, even if others do. */
void *numaslab_alloc_on_node(int node, size_t align, size_t size);

/* Empties all caches and gives free memory back to the kernel; returns bytes given back. */
size_t numaslab_trim(void);

/* The same for what is idle, old, or too much: call it once a second from a thread of yours, or never: allocations do
 * a little of it then. Returns bytes given back. */
size_t numaslab_maintain(void);

/* Blocks that were freed on other nodes than theirs go home now, instead of in batches; returns how many. */
size_t numaslab_send_home(void);

/* One of the numbers that NUMASLAB_STATS=on and malloc_stats print, by its name, such as "in_use_bytes" or
 * "blocks_stolen". Returns 0, or -1 and errno EINVAL if there is none of that name. */
int numaslab_statistic(const char *name, uint64_t *value);

#ifdef __cplusplus
}
#else
/* C23 (N3220, 7.24.3): free for a block of which the size, or alignment and size, are known. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t align, size_t size);
#endif

#endif
