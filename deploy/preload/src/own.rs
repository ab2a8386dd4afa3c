//! numaslab's own functions for programs in C: modes, nodes, statistics, giving back. `include/numaslab.h` declares
//! and explains them; here is what it does not say.

use crate::HEAP;
use crate::failure::fail;
use core::alloc::Layout;
use core::ffi::{CStr, c_char, c_int, c_void};
use core_api::os::{Errno, ErrnoGuard};
use core_api::placement::{KernelNode, NodeId, PlacementError, node_of};
use core_api::telemetry::{CacheMode, PlacementMode};
use core_api::{maintain, send_home, stats, trim};

/// What every block is aligned to, at least: `alignof(max_align_t)`.
const LEAST_ALIGN: usize = 16;

const STARTED: c_int = 1;
const PER_CPU: c_int = 2;
const REVOCABLE: c_int = 4;
const BOUND: c_int = 8;

/// The version.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version has no null"),
        };
    VERSION.as_ptr()
}

/// The mode, as flags.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_mode() -> c_int {
    let _errno = ErrnoGuard::new();
    if HEAP.nodes().is_err() {
        return 0;
    }
    let stats = stats();
    let caches = match stats.cache_mode {
        Some(CacheMode::PerCpu { revocable: true, .. }) => STARTED | PER_CPU | REVOCABLE,
        Some(CacheMode::PerCpu { revocable: false, .. }) => STARTED | PER_CPU,
        Some(CacheMode::PerThread(_)) => STARTED,
        None => 0,
    };
    if stats.placement == PlacementMode::Bound { caches | BOUND } else { caches }
}

/// The number of nodes; 1 if numaslab can't be started.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_nodes() -> c_int {
    let _errno = ErrnoGuard::new();
    HEAP.nodes().unwrap_or(1) as c_int
}

/// The kernel's number of a node.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_node_number(index: c_int) -> c_int {
    let _errno = ErrnoGuard::new();
    let Ok(index) = u8::try_from(index) else { return -1 };
    number(HEAP.kernel_node(NodeId(index)).ok())
}

/// The node of the calling thread.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_current_node() -> c_int {
    let _errno = ErrnoGuard::new();
    number(HEAP.current_node().and_then(|node| HEAP.kernel_node(node)).ok())
}

/// The node of a block.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_node_of(block: *const c_void) -> c_int {
    number(node_of(block.cast()).and_then(|node| HEAP.kernel_node(node).ok()))
}

/// A block of a node.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_alloc_on_node(node: c_int, align: usize, size: usize) -> *mut c_void {
    let Ok(kernel) = u16::try_from(node) else { return fail(Errno::EINVAL) };
    if !align.is_power_of_two() {
        return fail(Errno::EINVAL);
    }
    let Ok(layout) = Layout::from_size_align(size.max(1), align.max(LEAST_ALIGN)) else {
        return fail(Errno::ENOMEM);
    };
    let guard = ErrnoGuard::new();
    let found = HEAP.node_numbered(KernelNode(kernel)).and_then(|node| HEAP.alloc_on(node, layout));
    drop(guard);
    match found {
        Ok(block) => block.as_ptr().cast(),
        Err(PlacementError::NoMemory) => fail(Errno::ENOMEM),
        Err(_) => fail(Errno::EINVAL),
    }
}

/// Gives back what is free; bytes.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_trim() -> usize {
    trim().released_bytes
}

/// Gives back what is idle, old, or too much; bytes.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_maintain() -> usize {
    maintain().released_bytes
}

/// Sends blocks of other nodes home; how many.
#[unsafe(no_mangle)]
pub extern "C" fn numaslab_send_home() -> usize {
    send_home().blocks
}

/// One of the statistics.
///
/// # Safety
/// `name` is a string, and `value` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numaslab_statistic(name: *const c_char, value: *mut u64) -> c_int {
    // SAFETY: the caller's promise.
    let wanted = unsafe { CStr::from_ptr(name) };
    let mut found = None;
    stats().for_each_line(|name, number| {
        if name.as_bytes() == wanted.to_bytes() {
            found = Some(number);
        }
    });
    match found {
        Some(number) => {
            // SAFETY: the caller's promise.
            unsafe { *value = number };
            0
        }
        None => {
            Errno::EINVAL.set();
            -1
        }
    }
}

fn number(node: Option<KernelNode>) -> c_int {
    node.map_or(-1, |node| c_int::from(node.0))
}
