//! What glibc's allocator tells and lets itself be told: sizes, statistics, trimming, options.

use crate::HEAP;
use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};
use core_api::os::fatal::{Line, warn};
use core_api::os::{Errno, ErrnoGuard};
use core_api::{Stats, stats, trim};

/// Bytes of a block that may be used, at least as many as were asked for; 0 for null. malloc_usable_size(3).
///
/// # Safety
/// `block` is null or a block of this library in use. Other pointers end the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    // SAFETY: the same contract.
    unsafe { HEAP.usable_size(block.cast()) }
}

/// Gives the kernel back what is free, of all CPUs; returns 1 if that was anything, else 0. What is to be kept
/// on top of the heap (`_pad`) has no meaning here. malloc_trim(3).
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_pad: usize) -> c_int {
    let _errno = ErrnoGuard::new();
    c_int::from(trim().released_bytes > 0)
}

/// Sets an option of glibc's allocator, of which none has a meaning here: returns 1, as for success.
/// mallopt(3); numaslab's own options are environment variables.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(_option: c_int, _value: c_int) -> c_int {
    1
}

/// mallinfo2(3). Of its fields these have a meaning here:
///
/// | field | bytes, unless said otherwise |
/// | --- | --- |
/// | `arena` | taken from the kernel for SuperSlabs |
/// | `hblks`, `hblkhd` | Huge blocks: how many, their bytes |
/// | `uordblks` | in blocks that the program has, Huge ones too |
/// | `fsmblks` | in free blocks that lie in caches |
/// | `fordblks` | taken from the kernel, but not in use |
/// | `keepcost` | in SuperSlabs without a slab: what `malloc_trim` can give back at least |
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> libc::mallinfo2 {
    let _errno = ErrnoGuard::new();
    let stats = stats();
    let huge = stats.sum(|node| node.huge_bytes) + stats.mapping_bytes;
    let mapped = stats.mapped_bytes();
    let slabs = stats.sum(|node| node.slab_bytes);
    libc::mallinfo2 {
        arena: mapped.saturating_sub(huge) as usize,
        ordblks: 0,
        smblks: 0,
        hblks: stats.sum(|node| node.huge_blocks) as usize,
        hblkhd: huge as usize,
        usmblks: 0,
        fsmblks: stats.sum(|node| node.region_bytes + node.transfer_bytes) as usize,
        uordblks: stats.in_use_bytes() as usize,
        fordblks: mapped.saturating_sub(stats.in_use_bytes()) as usize,
        keepcost: mapped.saturating_sub(huge + slabs) as usize,
    }
}

/// As [`mallinfo2`], with numbers that end at `INT_MAX`. mallinfo(3).
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> libc::mallinfo {
    let all = mallinfo2();
    let int = |number: usize| c_int::try_from(number).unwrap_or(c_int::MAX);
    libc::mallinfo {
        arena: int(all.arena),
        ordblks: int(all.ordblks),
        smblks: int(all.smblks),
        hblks: int(all.hblks),
        hblkhd: int(all.hblkhd),
        usmblks: int(all.usmblks),
        fsmblks: int(all.fsmblks),
        uordblks: int(all.uordblks),
        fordblks: int(all.fordblks),
        keepcost: int(all.keepcost),
    }
}

/// Prints numaslab's statistics to stderr, a name and a number a line. malloc_stats(3).
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    stats().for_each_line(|name, value| warn(Line::new().push_str(name).push_str(" ").push_dec(value)));
}

/// Prints numaslab's statistics to `stream` as XML; returns 0, or `EINVAL` if `options` is not 0, or -1 with
/// `errno` if the stream takes no more. malloc_info(3); the elements below `<malloc>` are numaslab's own.
///
/// # Safety
/// `stream` is an open stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 {
        return libc::EINVAL;
    }
    match write_xml(&mut Stream(stream), &stats()) {
        Ok(()) => 0,
        Err(fmt::Error) => {
            Errno::EIO.set();
            -1
        }
    }
}

fn write_xml(out: &mut Stream, stats: &Stats) -> fmt::Result {
    out.write_str("<malloc version=\"numaslab-1\">\n")?;
    let mut result = Ok(());
    stats.for_each_line(|name, value| {
        if result.is_ok() {
            result = writeln!(out, "<number name=\"{name}\" value=\"{value}\"/>");
        }
    });
    result?;
    out.write_str("</malloc>\n")
}

/// A stream of the C library, as text goes there. It may ask for a buffer by `malloc`, which nothing forbids.
struct Stream(*mut libc::FILE);

impl Write for Stream {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: reads the text's bytes; the stream is open by the promise to `malloc_info`.
        let written = unsafe { libc::fwrite(text.as_ptr().cast(), 1, text.len(), self.0) };
        if written == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
