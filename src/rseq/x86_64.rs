//! The critical sections for x86-64.
//!
//! Each is one `asm!` block in the same frame: arm (store the descriptor's address in `rseq_cs`),
//! START, read `cpu_id`, find the CPU's region, check, one committing store, end. The kernel sends a
//! thread that was preempted, migrated or signalled between START and the end to ABORT, which jumps
//! back to the arming. See [`super`] for the layout that they work on and for what callers promise.
//!
//! [`pop_direct`] and [`push_direct`] reach a cell by one register, for which they pay a `lea`. Where a block is
//! freed and asked for again at once, the load of the cell waits for the store to it; processors that predict
//! such pairs (Intel's since Golden Cove) do so for addresses without an index only, and then a pair by address
//! alone takes half the time. Pairs that know their size gain nothing.
//!
//! Nothing but `rseq_cs` is written in the rseq area. It is left armed: the kernel clears it when it
//! finds the thread outside the section.

use super::{Area, Regions};
use core::arch::asm;

/// The signature in front of every abort handler, as glibc registers it on this architecture.
pub(super) const SIGNATURE: u32 = 0x5305_3053;

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
            // ABORT: out of line, behind the signature, which is dressed as an operand of `ud1`.
            ".pushsection .text.numaslab_rseq_abort, \"ax\", @progbits\n",
            ".byte 0x0f, 0xb9, 0x3d\n",
            ".long 0x53053053\n",
            "93: jmp 2f\n",
            ".popsection\n",
            "2: lea {tmp}, [rip + 90b]\n",
            "mov qword ptr fs:[{area} + 8], {tmp}\n",
            // Directly behind the store: a thread that the kernel finds outside the section is disarmed.
            "91:\n",
            $($body, "\n",)+
        )
    };
}

/// Defines a function that takes the topmost block; the last argument says how it reaches the cell.
macro_rules! pop {
    ($(#[$doc:meta])* $name:ident, $($reach:literal),+) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As [`super::pop`].
        #[inline(always)]
        pub(super) unsafe fn $name(regions: Regions, area: Area, index: usize) -> *mut u8 {
            let block: *mut u8;
            // SAFETY: by the caller's promise `regions[cpu_id]` is a region for every value that the kernel
            // stores in `cpu_id`, with a header at `index` and a null cell below its cells.
            unsafe {
                asm!(
                    section!(
                        "movsxd {tmp}, dword ptr fs:[{area} + 4]",
                        "mov {tmp}, qword ptr [{regions} + {tmp} * 8]",
                        "movzx {len:e}, word ptr [{tmp} + {index} * 4]",
                        $($reach,)+
                        "test {block}, {block}",
                        "jz 92f",
                        "dec {len:e}",
                        "mov word ptr [{tmp} + {index} * 4], {len:x}",
                        "92:",
                    ),
                    area = in(reg) area.0,
                    regions = in(reg) regions.0,
                    index = in(reg) index,
                    block = out(reg) block,
                    len = out(reg) _,
                    tmp = out(reg) _,
                    options(nostack),
                );
            }
            block
        }
    };
}

pop! {
    /// ```text
    /// START   region = regions[cpu_id]; len = region.len[index]
    ///         block = region.cell[len - 1]; if block == null: end
    /// COMMIT  region.len[index] = len - 1
    /// ABORT   from START
    /// ```
    pop, "mov {block}, qword ptr [{tmp} + {len} * 8 - 8]"
}

pop! {
    /// As [`pop`], with the cell's address in one register.
    pop_direct, "lea {block}, [{tmp} + {len} * 8]", "mov {block}, qword ptr [{block} - 8]"
}

/// Defines a function that puts a block on a list; the last arguments say how it reaches the cell, and the
/// registers that it needs for that.
macro_rules! push {
    ($(#[$doc:meta])* $name:ident, [$($register:ident)?], $($reach:literal),+) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As [`super::push`].
        #[inline(always)]
        pub(super) unsafe fn $name(regions: Regions, area: Area, index: usize, block: *mut u8) -> bool {
            // SAFETY: as in `pop`; cells up to `end` belong to the header at `index`.
            unsafe {
                asm!(
                    section!(
                        "movsxd {tmp}, dword ptr fs:[{area} + 4]",
                        "mov {tmp}, qword ptr [{regions} + {tmp} * 8]",
                        "movzx {len:e}, word ptr [{tmp} + {index} * 4]",
                        "cmp {len:x}, word ptr [{tmp} + {index} * 4 + 2]",
                        "jae {full}",
                        $($reach,)+
                        "inc {len:e}",
                        "mov word ptr [{tmp} + {index} * 4], {len:x}",
                        "92:",
                    ),
                    area = in(reg) area.0,
                    regions = in(reg) regions.0,
                    index = in(reg) index,
                    block = in(reg) block,
                    tmp = out(reg) _,
                    len = out(reg) _,
                    $($register = out(reg) _,)?
                    full = label { return false },
                    options(nostack),
                );
            }
            true
        }
    };
}

push! {
    /// ```text
    /// START   region = regions[cpu_id]; len = region.len[index]
    ///         if len >= region.end[index]: full
    ///         region.cell[len] = block
    /// COMMIT  region.len[index] = len + 1
    /// ABORT   from START
    /// ```
    push, [], "mov qword ptr [{tmp} + {len} * 8], {block}"
}

push! {
    /// As [`push`], with the cell's address in one register.
    push_direct, [cell], "lea {cell}, [{tmp} + {len} * 8]", "mov qword ptr [{cell}], {block}"
}

/// ```text
/// START   region = regions[cpu_id]; index = class + 128 * (region.node ^ home)
///         len = region.len[index]; if len >= region.end[index]: full
///         region.cell[len] = block
/// COMMIT  region.len[index] = len + 1
/// ABORT   from START
/// ```
///
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
                "movsxd {tmp}, dword ptr fs:[{area} + 4]",
                "mov {tmp}, qword ptr [{regions} + {tmp} * 8]",
                "mov {index}, qword ptr [{tmp} - 16]",
                "xor {index}, {home}",
                "shl {index:e}, 7",
                "add {index}, {class}",
                "movzx {len:e}, word ptr [{tmp} + {index} * 4]",
                "cmp {len:x}, word ptr [{tmp} + {index} * 4 + 2]",
                "jae {full}",
                "mov qword ptr [{tmp} + {len} * 8], {block}",
                "inc {len:e}",
                "mov word ptr [{tmp} + {index} * 4], {len:x}",
                "92:",
            ),
            area = in(reg) area.0,
            regions = in(reg) regions.0,
            class = in(reg) class,
            home = in(reg) home,
            block = in(reg) block,
            index = out(reg) _,
            tmp = out(reg) _,
            len = out(reg) _,
            full = label { return false },
            options(nostack),
        );
    }
    true
}

/// ```text
/// START   region = regions[cpu_id]; len = region.len[index]; i = 0
///         while i < want and region.cell[len - 1] != null:
///             out[i] = region.cell[len - 1]; len -= 1; i += 1
/// COMMIT  region.len[index] = len          (not if i == 0)
/// ABORT   from START
/// ```
///
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
                "xor {i:e}, {i:e}",
                "movsxd {tmp}, dword ptr fs:[{area} + 4]",
                "mov {tmp}, qword ptr [{regions} + {tmp} * 8]",
                "movzx {len:e}, word ptr [{tmp} + {index} * 4]",
                "94: cmp {i}, {want}",
                "jae 95f",
                "mov {block}, qword ptr [{tmp} + {len} * 8 - 8]",
                "test {block}, {block}",
                "jz 95f",
                "mov qword ptr [{out} + {i} * 8], {block}",
                "dec {len:e}",
                "inc {i:e}",
                "jmp 94b",
                "95: test {i:e}, {i:e}",
                "jz 92f",
                "mov word ptr [{tmp} + {index} * 4], {len:x}",
                "92:",
            ),
            area = in(reg) area.0,
            regions = in(reg) regions.0,
            index = in(reg) index,
            out = in(reg) out,
            want = in(reg) want,
            i = out(reg) taken,
            block = out(reg) _,
            len = out(reg) _,
            tmp = out(reg) _,
            options(nostack),
        );
    }
    taken
}

/// ```text
/// START   if regions[cpu_id] != region: end with i = 0
///         len = region.len[index]; i = 0
///         while i < n and len < region.end[index]:
///             region.cell[len] = blocks[i]; len += 1; i += 1
/// COMMIT  region.len[index] = len          (not if i == 0)
/// ABORT   from START
/// ```
///
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
                "xor {i:e}, {i:e}",
                "movsxd {tmp}, dword ptr fs:[{area} + 4]",
                "cmp {region}, qword ptr [{regions} + {tmp} * 8]",
                "jne 92f",
                "movzx {len:e}, word ptr [{region} + {index} * 4]",
                "94: cmp {i}, {n}",
                "jae 95f",
                "cmp {len:x}, word ptr [{region} + {index} * 4 + 2]",
                "jae 95f",
                "mov {tmp}, qword ptr [{blocks} + {i} * 8]",
                "mov qword ptr [{region} + {len} * 8], {tmp}",
                "inc {len:e}",
                "inc {i:e}",
                "jmp 94b",
                "95: test {i:e}, {i:e}",
                "jz 92f",
                "mov word ptr [{region} + {index} * 4], {len:x}",
                "92:",
            ),
            area = in(reg) area.0,
            regions = in(reg) regions.0,
            region = in(reg) region,
            index = in(reg) index,
            blocks = in(reg) blocks,
            n = in(reg) n,
            i = out(reg) pushed,
            len = out(reg) _,
            tmp = out(reg) _,
            options(nostack),
        );
    }
    pushed
}

/// ```text
/// START   if regions[cpu_id] != region: end, not done
///         if region.header[index] != old: end, not done
/// COMMIT  region.header[index] = new
/// ABORT   from START
/// ```
///
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
    let done: u32;
    // SAFETY: as in `pop`; the caller promises that the cells of the new header belong to this list.
    unsafe {
        asm!(
            section!(
                "xor {done:e}, {done:e}",
                "movsxd {tmp}, dword ptr fs:[{area} + 4]",
                "cmp {region}, qword ptr [{regions} + {tmp} * 8]",
                "jne 92f",
                "cmp dword ptr [{region} + {index} * 4], {old:e}",
                "jne 92f",
                "mov {done:e}, 1",
                "mov dword ptr [{region} + {index} * 4], {new:e}",
                "92:",
            ),
            area = in(reg) area.0,
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

/// ```text
/// START   if regions[cpu_id] != region: end, not done
/// COMMIT  word += value
/// ABORT   from START
/// ```
///
/// # Safety
/// As [`super::add`].
#[inline(always)]
pub(super) unsafe fn add(regions: Regions, area: Area, region: *mut u8, word: *mut u64, value: u64) -> bool {
    let done: u32;
    // SAFETY: as in `pop`; `word` is writable. The addition is one instruction, so it happens whole or
    // not at all on this CPU.
    unsafe {
        asm!(
            section!(
                "xor {done:e}, {done:e}",
                "movsxd {tmp}, dword ptr fs:[{area} + 4]",
                "cmp {region}, qword ptr [{regions} + {tmp} * 8]",
                "jne 92f",
                "mov {done:e}, 1",
                "add qword ptr [{word}], {value}",
                "92:",
            ),
            area = in(reg) area.0,
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
    // SAFETY: the x86-64 ABI keeps the thread pointer's own value at fs:0.
    unsafe {
        asm!("mov {}, qword ptr fs:[0]", out(reg) pointer, options(pure, readonly, nostack, preserves_flags));
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
            "mov {}, qword ptr [rip + {}@GOTTPOFF]",
            out(reg) offset,
            sym super::thread_block::NUMASLAB_THREAD_BLOCK,
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
            "mov {}, qword ptr [rip + __rseq_offset@GOTPCREL]",
            "mov {}, qword ptr [rip + __rseq_size@GOTPCREL]",
            out(reg) offset,
            out(reg) size,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    (offset, size)
}
