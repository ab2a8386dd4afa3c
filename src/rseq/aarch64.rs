//! The critical sections for aarch64: the same five as on x86-64, see `x86_64.rs` for each one's
//! pseudo-code.

use super::{Area, Regions};
use core::arch::asm;

/// Here a cell is reached by an address with an index, or by one that is computed, at the same price.
pub(super) use {pop as pop_direct, push as push_direct};

/// The signature in front of every abort handler, as glibc registers it on this architecture.
pub(super) const SIGNATURE: u32 = 0xd428_bc00;

/// Opens a section: emits its descriptor and arms it. START is label 91, the end label 92, ABORT
/// label 93; label 2 is where an aborted attempt begins anew.
macro_rules! section {
    ($($body:literal),+ $(,)?) => {
        concat!(
            // struct rseq_cs { version, flags: u32; start_ip, post_commit_offset, abort_ip: u64 }
            ".pushsection __rseq_cs, \"aw\", @progbits\n",
            ".balign 32\n",
            "90: .long 0, 0\n",
            ".quad 91f, 92f - 91f, 93f\n",
            ".popsection\n",
            // ABORT: out of line, behind the signature, which is a `brk` instruction.
            ".pushsection .text.numaslab_rseq_abort, \"ax\", @progbits\n",
            ".balign 4\n",
            ".inst 0xd428bc00\n",
            "93: b 2f\n",
            ".popsection\n",
            "2: adrp {tmp}, 90b\n",
            "add {tmp}, {tmp}, :lo12:90b\n",
            "str {tmp}, [{area}, #8]\n",
            // Directly behind the store: a thread that the kernel finds outside the section is disarmed.
            "91:\n",
            $($body, "\n",)+
        )
    };
}

/// The rseq area of this thread, as an address.
#[inline(always)]
fn address(area: Area) -> usize {
    thread_pointer().wrapping_add_signed(area.0)
}

/// # Safety
/// As [`super::pop`].
#[inline(always)]
pub(super) unsafe fn pop(regions: Regions, area: Area, index: usize) -> *mut u8 {
    let block: *mut u8;
    // SAFETY: by the caller's promise `regions[cpu_id]` is a region for every value that the kernel
    // stores in `cpu_id`, with a header at `index` and a null cell below its cells.
    unsafe {
        asm!(
            section!(
                "ldrsw {tmp}, [{area}, #4]",
                "ldr {tmp}, [{regions}, {tmp}, lsl #3]",
                "add {header}, {tmp}, {index}, lsl #2",
                "ldrh {len:w}, [{header}]",
                "add {tmp}, {tmp}, {len}, lsl #3",
                "ldr {block}, [{tmp}, #-8]",
                "cbz {block}, 92f",
                "sub {len:w}, {len:w}, #1",
                "strh {len:w}, [{header}]",
                "92:",
            ),
            area = in(reg) address(area),
            regions = in(reg) regions.0,
            index = in(reg) index,
            block = out(reg) block,
            header = out(reg) _,
            len = out(reg) _,
            tmp = out(reg) _,
            options(nostack),
        );
    }
    block
}

/// # Safety
/// As [`super::push`].
#[inline(always)]
pub(super) unsafe fn push(regions: Regions, area: Area, index: usize, block: *mut u8) -> bool {
    // SAFETY: as in `pop`; cells up to `end` belong to the header at `index`.
    unsafe {
        asm!(
            section!(
                "ldrsw {tmp}, [{area}, #4]",
                "ldr {tmp}, [{regions}, {tmp}, lsl #3]",
                "add {header}, {tmp}, {index}, lsl #2",
                "ldrh {len:w}, [{header}]",
                "ldrh {end:w}, [{header}, #2]",
                "cmp {len:w}, {end:w}",
                "b.hs {full}",
                "str {block}, [{tmp}, {len}, lsl #3]",
                "add {len:w}, {len:w}, #1",
                "strh {len:w}, [{header}]",
                "92:",
            ),
            area = in(reg) address(area),
            regions = in(reg) regions.0,
            index = in(reg) index,
            block = in(reg) block,
            header = out(reg) _,
            len = out(reg) _,
            end = out(reg) _,
            tmp = out(reg) _,
            full = label { return false },
            options(nostack),
        );
    }
    true
}

/// # Safety
/// As [`super::push_homed`].
#[inline(always)]
pub(super) unsafe fn push_homed(
    regions: Regions,
    area: Area,
    class: usize,
    home: usize,
    block: *mut u8,
) -> bool {
    // SAFETY: as in `push`; the region's node and `home` are below the number of slots.
    unsafe {
        asm!(
            section!(
                "ldrsw {tmp}, [{area}, #4]",
                "ldr {tmp}, [{regions}, {tmp}, lsl #3]",
                "ldr {header}, [{tmp}, #-16]",
                "eor {header}, {header}, {home}",
                "add {header}, {class}, {header}, lsl #7",
                "add {header}, {tmp}, {header}, lsl #2",
                "ldrh {len:w}, [{header}]",
                "ldrh {end:w}, [{header}, #2]",
                "cmp {len:w}, {end:w}",
                "b.hs {full}",
                "str {block}, [{tmp}, {len}, lsl #3]",
                "add {len:w}, {len:w}, #1",
                "strh {len:w}, [{header}]",
                "92:",
            ),
            area = in(reg) address(area),
            regions = in(reg) regions.0,
            class = in(reg) class,
            home = in(reg) home,
            block = in(reg) block,
            header = out(reg) _,
            len = out(reg) _,
            end = out(reg) _,
            tmp = out(reg) _,
            full = label { return false },
            options(nostack),
        );
    }
    true
}

/// # Safety
/// As [`super::pop_batch`].
pub(super) unsafe fn pop_batch(
    regions: Regions,
    area: Area,
    index: usize,
    out: *mut *mut u8,
    want: usize,
) -> usize {
    let taken: usize;
    // SAFETY: as in `pop`; `out` has room for `want` pointers.
    unsafe {
        asm!(
            section!(
                "mov {i}, xzr",
                "ldrsw {tmp}, [{area}, #4]",
                "ldr {tmp}, [{regions}, {tmp}, lsl #3]",
                "add {header}, {tmp}, {index}, lsl #2",
                "ldrh {len:w}, [{header}]",
                "94: cmp {i}, {want}",
                "b.hs 95f",
                "add {cell}, {tmp}, {len}, lsl #3",
                "ldr {block}, [{cell}, #-8]",
                "cbz {block}, 95f",
                "str {block}, [{out}, {i}, lsl #3]",
                "sub {len:w}, {len:w}, #1",
                "add {i}, {i}, #1",
                "b 94b",
                "95: cbz {i}, 92f",
                "strh {len:w}, [{header}]",
                "92:",
            ),
            area = in(reg) address(area),
            regions = in(reg) regions.0,
            index = in(reg) index,
            out = in(reg) out,
            want = in(reg) want,
            i = out(reg) taken,
            block = out(reg) _,
            cell = out(reg) _,
            header = out(reg) _,
            len = out(reg) _,
            tmp = out(reg) _,
            options(nostack),
        );
    }
    taken
}

/// # Safety
/// As [`super::push_batch`].
pub(super) unsafe fn push_batch(
    regions: Regions,
    area: Area,
    region: *mut u8,
    index: usize,
    blocks: *const *mut u8,
    n: usize,
) -> usize {
    let pushed: usize;
    // SAFETY: as in `push`; `blocks` holds `n` pointers. Cells above `len` that an aborted attempt
    // wrote are not part of the region's content.
    unsafe {
        asm!(
            section!(
                "mov {i}, xzr",
                "ldrsw {tmp}, [{area}, #4]",
                "ldr {tmp}, [{regions}, {tmp}, lsl #3]",
                "cmp {tmp}, {region}",
                "b.ne 92f",
                "add {header}, {tmp}, {index}, lsl #2",
                "ldrh {len:w}, [{header}]",
                "ldrh {end:w}, [{header}, #2]",
                "94: cmp {i}, {n}",
                "b.hs 95f",
                "cmp {len:w}, {end:w}",
                "b.hs 95f",
                "ldr {block}, [{blocks}, {i}, lsl #3]",
                "str {block}, [{tmp}, {len}, lsl #3]",
                "add {len:w}, {len:w}, #1",
                "add {i}, {i}, #1",
                "b 94b",
                "95: cbz {i}, 92f",
                "strh {len:w}, [{header}]",
                "92:",
            ),
            area = in(reg) address(area),
            regions = in(reg) regions.0,
            region = in(reg) region,
            index = in(reg) index,
            blocks = in(reg) blocks,
            n = in(reg) n,
            i = out(reg) pushed,
            block = out(reg) _,
            header = out(reg) _,
            len = out(reg) _,
            end = out(reg) _,
            tmp = out(reg) _,
            options(nostack),
        );
    }
    pushed
}

/// # Safety
/// As [`super::exchange_header`].
pub(super) unsafe fn exchange_header(
    regions: Regions,
    area: Area,
    region: *mut u8,
    index: usize,
    old: u32,
    new: u32,
) -> bool {
    let done: u64;
    // SAFETY: as in `pop`; the caller promises that the cells of the new header belong to this list.
    unsafe {
        asm!(
            section!(
                "mov {done}, xzr",
                "ldrsw {tmp}, [{area}, #4]",
                "ldr {tmp}, [{regions}, {tmp}, lsl #3]",
                "cmp {tmp}, {region}",
                "b.ne 92f",
                "ldr {tmp:w}, [{region}, {index}, lsl #2]",
                "cmp {tmp:w}, {old:w}",
                "b.ne 92f",
                "mov {done}, #1",
                "str {new:w}, [{region}, {index}, lsl #2]",
                "92:",
            ),
            area = in(reg) address(area),
            regions = in(reg) regions.0,
            region = in(reg) region,
            index = in(reg) index,
            old = in(reg) old,
            new = in(reg) new,
            done = out(reg) done,
            tmp = out(reg) _,
            options(nostack),
        );
    }
    done != 0
}

/// # Safety
/// As [`super::add`].
#[inline(always)]
pub(super) unsafe fn add(regions: Regions, area: Area, region: *mut u8, word: *mut u64, value: u64) -> bool {
    let done: u64;
    // SAFETY: as in `pop`; `word` is writable.
    unsafe {
        asm!(
            section!(
                "mov {done}, xzr",
                "ldrsw {tmp}, [{area}, #4]",
                "ldr {tmp}, [{regions}, {tmp}, lsl #3]",
                "cmp {tmp}, {region}",
                "b.ne 92f",
                "mov {done}, #1",
                "ldr {tmp}, [{word}]",
                "add {tmp}, {tmp}, {value}",
                "str {tmp}, [{word}]",
                "92:",
            ),
            area = in(reg) address(area),
            regions = in(reg) regions.0,
            region = in(reg) region,
            word = in(reg) word,
            value = in(reg) value,
            done = out(reg) done,
            tmp = out(reg) _,
            options(nostack),
        );
    }
    done != 0
}

/// The thread pointer.
#[inline(always)]
pub(super) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register that every thread of a process has. Not `pure`: the compiler must not keep
    // the value in a function that is inlined into a coroutine, which may go on in another thread.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// The offset of this crate's thread block from the thread pointer: one number for all threads, since
/// the block lies in static TLS (initial-exec).
#[inline(always)]
pub(super) fn thread_block_offset() -> isize {
    let offset: isize;
    // SAFETY: reads one slot of the GOT, which the loader has filled before any code runs.
    unsafe {
        asm!(
            "adrp {offset}, :gottprel:{block}",
            "ldr {offset}, [{offset}, :gottprel_lo12:{block}]",
            offset = out(reg) offset,
            block = sym super::thread_block::NUMASLAB_THREAD_BLOCK,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    offset
}

/// The addresses of glibc's `__rseq_offset` and `__rseq_size`; null where there is no such symbol.
pub(super) fn libc_symbols() -> (*const isize, *const u32) {
    let (offset, size);
    // SAFETY: the references are weak, so the GOT slots hold the addresses or null.
    unsafe {
        asm!(
            ".weak __rseq_offset",
            ".weak __rseq_size",
            "adrp {0}, :got:__rseq_offset",
            "ldr {0}, [{0}, :got_lo12:__rseq_offset]",
            "adrp {1}, :got:__rseq_size",
            "ldr {1}, [{1}, :got_lo12:__rseq_size]",
            out(reg) offset,
            out(reg) size,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    (offset, size)
}
