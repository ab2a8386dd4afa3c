//! `libnumaslab.so`: the memory functions of C and C++, for programs that were built without numaslab.
//!
//! ```text
//! LD_PRELOAD=/usr/lib/libnumaslab.so program
//! ```
//!
//! | file | functions |
//! | --- | --- |
//! | [`blocks`] | `malloc`, `free`, `calloc`, `realloc`, and what else C23 has |
//! | [`aligned`] | `posix_memalign`, `aligned_alloc`, and their older kin |
//! | [`tell`] | `malloc_usable_size`, `mallinfo2`, `malloc_trim`, `malloc_info`, ... |
//! | [`glibc_names`] | the same by glibc's inner names |
//! | [`own`] | `numaslab_*`: modes, nodes, statistics, giving back; `include/numaslab.h` declares them |
//! | [`cplusplus`] | `operator new` and `operator delete` in all forms |
//! | [`vfork`] | `vfork`, so that its children may allocate |
//!
//! Everything is a thin layer over `numaslab::unsized_blocks`: what C adds is `errno`, checks of arguments, and
//! names. As numaslab it is configured by the environment, `NUMASLAB_*`.
//!
//! # Rules of the house
//! * Nothing here calls `malloc` by name, nor anything that may: a call into libc is one that takes no memory.
//! * `errno` is `ENOMEM` after a failure and as it was after success, and so it is after `free`.
//! * No thread-local storage of its own; the core's is reached by the initial-exec model.
//! * Built with the profile `preload` nothing of the standard library is in it, and panics abort.
#![cfg_attr(panic = "abort", no_std)]

#[cfg(target_pointer_width = "32")]
compile_error!("numaslab is for 64-bit machines");

pub mod aligned;
pub mod blocks;
pub mod cplusplus;
mod failure;
pub mod glibc_names;
pub mod own;
#[cfg(panic = "abort")]
mod panic;
pub mod tell;
pub mod vfork;

use core_api::config::HugeMode;
use core_api::{Config, NumaSlab};

// Without the standard library nobody else asks for it.
#[link(name = "c")]
unsafe extern "C" {}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What differs from the profile `balanced`. Most programs are small, and end soon: huge pages, each of which the
/// kernel has to clear, cost them time and memory, so they are for those who ask (`NUMASLAB_HUGE=transparent`). And
/// they are judged by their peak of memory: less of it is cached, and kept free. The README has what that saves.
const CONFIG: Config = Config::new()
    .with_huge(HugeMode::Never)
    .with_cpu_cache_bytes(2 * MIB)
    .with_transfer_class_bytes(256 * KIB)
    .with_transfer_node_bytes(8 * MIB)
    .with_free_cache_bytes(64 * MIB)
    .with_slack_percent(6);

/// The door to the heap, configured by the environment.
static HEAP: NumaSlab = NumaSlab::with_config(CONFIG);
