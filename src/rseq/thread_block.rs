//! The 64 bytes of thread-local storage that the whole allocator uses.
//!
//! Stable Rust has no `#[thread_local]`, and `std::thread_local!` may call into the dynamic loader at
//! first use. So the block is defined in assembly, in static TLS (initial-exec model): its offset
//! from the thread pointer is one number for all threads, and reaching it costs two instructions. In
//! a shared library this asks the loader for static TLS space; 64 bytes fit into what glibc and musl
//! keep for libraries that come by `dlopen`.
//!
//! The symbol's name carries the version, so that two versions of the crate can be in one program.

use super::arch;
use crate::units::NodeId;
use core::{cell::Cell, ptr::NonNull};

/// What each thread has. Zeroed at thread start but for `cpu_id`.
#[repr(C, align(64))]
pub(crate) struct ThreadBlock {
    /// An rseq area of this crate's own, for where libc registers none. Written by the kernel once it
    /// is registered, and in `rseq_cs` by the critical sections.
    pub(super) area: OwnArea,
    /// The cache of this thread in fallback mode; null if it has none, and while the thread is inside
    /// it: a signal handler that finds null goes to the layer below. Written by the thread alone.
    pub(crate) free_region: Cell<*mut u8>,
    /// The same, but not null while the thread is inside. Written by the thread alone.
    pub(crate) region: Cell<*mut u8>,
    /// How far the thread has come, a [`Life`]. Written by the thread alone.
    life: Cell<u32>,
    /// In how many slow paths the thread is, one interrupted by the next: while it is in any, its region
    /// stays on its node. Written by the thread alone.
    pub(crate) stays: Cell<u32>,
    /// The node that the thread prefers to that of its CPU, plus one; 0 if it prefers none. Written by the
    /// thread alone.
    prefers: Cell<u16>,
    /// How many children of `vfork`, one of the other, work as this thread at this moment, if its area was paused
    /// for the first of them; else 0. Written by the thread and by those children, one at a time.
    pub(crate) lent: Cell<u16>,
    /// How many regions of CPUs the thread has taken away at this moment. Written by the thread alone.
    pub(crate) revokes: Cell<u32>,
}

/// The kernel's `struct rseq` in its first form: 32 bytes, 32-byte aligned.
#[repr(C, align(32))]
pub(super) struct OwnArea {
    cpu_id_start: u32,
    /// The kernel's CPU number; `u32::MAX` (`RSEQ_CPU_ID_UNINITIALIZED`) before registration and after
    /// its end.
    cpu_id: Cell<u32>,
    rseq_cs: u64,
    flags: u32,
    node_id: u32,
    mm_cid: u32,
    reserved: u32,
}

/// How far a thread has come, as far as the allocator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Has not come to any slow path yet.
    Unknown,
    /// Is just being given what it needs; a request that this leads to does without.
    Settling,
    /// Is served, and its exit hook is armed where it needs one.
    Served,
    /// Its exit hook ran: it is about to end and gets no cache any more.
    Leaving,
}

const _: () = assert!(core::mem::size_of::<ThreadBlock>() == 64);
const _: () = assert!(core::mem::offset_of!(OwnArea, cpu_id) == 4);
const _: () = assert!(core::mem::offset_of!(OwnArea, rseq_cs) == 8);

macro_rules! symbol {
    () => {
        concat!(
            "numaslab_thread_block_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH")
        )
    };
}

core::arch::global_asm!(
    concat!(".pushsection .tdata.", symbol!(), ", \"awT\", @progbits"),
    ".balign 64",
    concat!(".globl ", symbol!()),
    concat!(".hidden ", symbol!()),
    concat!(".type ", symbol!(), ", @object"),
    concat!(".size ", symbol!(), ", 64"),
    concat!(symbol!(), ":"),
    ".long 0, 0xffffffff",
    ".zero 56",
    ".popsection",
);

unsafe extern "C" {
    /// Only its name is used, as an operand of the assembly that loads its TLS offset.
    #[link_name = symbol!()]
    pub(super) static NUMASLAB_THREAD_BLOCK: u8;
}

/// The calling thread's block.
#[inline(always)]
pub(crate) fn current() -> &'static ThreadBlock {
    let address = arch::thread_pointer().wrapping_add_signed(arch::thread_block_offset());
    // SAFETY: the symbol above reserves 64 aligned bytes at this offset in every thread's static TLS,
    // initialised to a valid `ThreadBlock`. All of its fields are only reached by this thread (cells),
    // and callers do not pass the reference to another thread: it is not `Sync`.
    unsafe { NonNull::new_unchecked(address as *mut ThreadBlock).as_ref() }
}

impl ThreadBlock {
    /// How far the thread has come.
    pub(crate) fn life(&self) -> Life {
        match self.life.get() {
            0 => Life::Unknown,
            1 => Life::Settling,
            2 => Life::Served,
            _ => Life::Leaving,
        }
    }

    /// The node that the thread prefers to that of its CPU.
    #[inline]
    pub(crate) fn preference(&self) -> Option<NodeId> {
        self.prefers.get().checked_sub(1).map(|node| NodeId(node as u8))
    }

    /// Notes which node the thread prefers, and returns which one it did.
    pub(crate) fn set_preference(&self, node: Option<NodeId>) -> Option<NodeId> {
        let before = self.preference();
        self.prefers.set(node.map_or(0, |node| u16::from(node.0) + 1));
        before
    }

    /// Notes how far the thread has come.
    pub(crate) fn set_life(&self, life: Life) {
        self.life.set(life as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_a_fresh_block_of_its_own() {
        let mine = current();
        assert_eq!(mine as *const _ as usize % 64, 0);
        let before = mine.life();
        mine.set_life(Life::Settling);
        let address = mine as *const ThreadBlock as usize;
        std::thread::spawn(move || {
            let theirs = current();
            assert_ne!(theirs as *const ThreadBlock as usize, address);
            assert!(theirs.region.get().is_null() && theirs.free_region.get().is_null());
            assert_eq!(theirs.life(), Life::Unknown);
            assert_eq!(theirs.area.cpu_id.get(), u32::MAX);
        })
        .join()
        .unwrap();
        assert_eq!(current().life(), Life::Settling);
        mine.set_life(before);
    }
}
