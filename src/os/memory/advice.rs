//! What the kernel should do with pages: `madvise(2)`, populate, residency.

use crate::os::errno::{Errno, Result, check};
use crate::os::fault::{Call, gate};
use crate::units::PAGE_BYTES;
use core::ptr::NonNull;

/// Advice on a range of memory, each as in madvise(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Drop the pages now; the next touch reads zero. On hugetlb memory: whole 2 MiB pages only,
    /// and the later touch may kill (populate again first).
    DontNeed,
    /// The kernel may drop the pages when memory is short; until then they keep their contents, and
    /// a write keeps them. They count in RSS until they are dropped.
    Free,
    /// Use transparent huge pages here.
    HugePage,
    /// Use no transparent huge pages here.
    NoHugePage,
    /// Back every page with memory, as if written, without changing it. [`populate`] is the
    /// function with the fallback.
    PopulateWrite,
    /// Gather the range into transparent huge pages now (Linux 6.1).
    Collapse,
    /// A forked child does not inherit the range.
    DontFork,
    /// A forked child inherits the range (undoes [`DontFork`](Self::DontFork)).
    DoFork,
    /// A forked child finds the range zeroed (Linux 4.14).
    WipeOnFork,
    /// A core dump leaves the range out.
    DontDump,
    /// A core dump includes the range (undoes [`DontDump`](Self::DontDump)).
    DoDump,
}

impl Advice {
    const fn number(self) -> i32 {
        match self {
            Self::DontNeed => libc::MADV_DONTNEED,
            Self::Free => libc::MADV_FREE,
            Self::HugePage => libc::MADV_HUGEPAGE,
            Self::NoHugePage => libc::MADV_NOHUGEPAGE,
            Self::PopulateWrite => 23,
            Self::Collapse => 25,
            Self::DontFork => libc::MADV_DONTFORK,
            Self::DoFork => libc::MADV_DOFORK,
            Self::WipeOnFork => libc::MADV_WIPEONFORK,
            Self::DontDump => libc::MADV_DONTDUMP,
            Self::DoDump => libc::MADV_DODUMP,
        }
    }

    const fn call(self) -> Call {
        match self {
            Self::PopulateWrite => Call::Populate,
            _ => Call::Madvise,
        }
    }
}

/// Gives `advice` on `len` bytes at `addr`.
///
/// Errors: `EINVAL` if this kernel does not know the advice, or cannot follow it on this kind of
/// memory (locked pages and `DontNeed`, huge pages configured out); `ENOMEM` if part of the range is
/// not mapped; `EFAULT` from `PopulateWrite` where a touch would raise SIGBUS. madvise(2).
///
/// # Safety
/// The range belongs to the caller. For `DontNeed` and `Free`, nobody uses its contents any more;
/// for `DontFork`, no forked child touches it.
pub unsafe fn advise(addr: NonNull<u8>, len: usize, advice: Advice) -> Result<()> {
    gate(advice.call())?;
    // SAFETY: the caller owns the range and has given up what the advice takes away.
    check(unsafe { libc::madvise(addr.as_ptr().cast(), len, advice.number()) }.into()).map(drop)
}

/// Backs every page of the range with memory now, as if each had been written by the calling thread,
/// without changing its contents; pages so obtained lie where the memory policy, or else the calling
/// thread's CPU, puts them.
///
/// Kernels before 5.14 do not know `MADV_POPULATE_WRITE`; there, each page is read and written back.
///
/// Errors: `ENOMEM` if memory, or the memory of the bound nodes, is used up; `EFAULT` where a touch
/// would raise SIGBUS; what was populated so far stays. madvise(2).
///
/// # Safety
/// The range is mapped readable and writable, is not hugetlb memory (see [`populate_safely`]), and
/// nobody else uses it during the call.
pub unsafe fn populate(addr: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: passed on.
    match unsafe { populate_safely(addr, len) } {
        Err(Errno::EINVAL) => {
            // SAFETY: passed on.
            unsafe { touch(addr, len) };
            Ok(())
        }
        result => result,
    }
}

/// As [`populate`], by the kernel only: never touches the memory, so it never raises SIGBUS, and is
/// what hugetlb memory must be populated with.
///
/// Errors: as [`populate`], and `EINVAL` on kernels before 5.14.
///
/// # Safety
/// The range belongs to the caller.
pub unsafe fn populate_safely(addr: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: passed on; populating changes no contents.
    unsafe { advise(addr, len, Advice::PopulateWrite) }
}

/// Reads and writes back one byte of each page, so that the page exists afterwards.
///
/// # Safety
/// As [`populate`].
unsafe fn touch(addr: NonNull<u8>, len: usize) {
    let mut offset = 0;
    while offset < len {
        // SAFETY: `offset < len`, and the caller vouches that the range is readable, writable and
        // used by nobody else, so the byte cannot change between the read and the write. Volatile,
        // because the write of an unchanged value must not be optimised away.
        unsafe {
            let byte = addr.add(offset);
            byte.write_volatile(byte.read_volatile());
        }
        offset += PAGE_BYTES;
    }
}

/// Counts the resident pages of the range: those that take memory now.
///
/// Errors: `ENOMEM` if part of the range is not mapped. mincore(2).
pub fn resident(addr: NonNull<u8>, len: usize) -> Result<usize> {
    /// Pages asked for at once; one byte of stack each.
    const BATCH: usize = 256;
    let mut state = [0u8; BATCH];
    let mut count = 0;
    let mut offset = 0;
    while offset < len {
        let step = (len - offset).min(BATCH * PAGE_BYTES);
        gate(Call::Mincore)?;
        // SAFETY: only page tables are read; the kernel writes one byte per page of `step`, at most
        // BATCH bytes. An address that is not mapped is an error, not a fault.
        check(unsafe {
            let start = addr.as_ptr().wrapping_add(offset);
            libc::mincore(start.cast(), step, state.as_mut_ptr()).into()
        })?;
        count += state[..step.div_ceil(PAGE_BYTES)].iter().filter(|s| **s & 1 != 0).count();
        offset += step;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::fault;
    use crate::os::memory::{map, reserve, unmap};
    use crate::os::policy::{allowed_nodes, node_of_page};
    use crate::os::testing::{in_child, is_readable};

    const PAGES: usize = 600;
    const LEN: usize = PAGES * PAGE_BYTES;

    fn with_map(body: impl FnOnce(NonNull<u8>)) {
        let base = map(LEN).unwrap();
        // SAFETY: the test's own mapping. Without huge pages, residency is exact.
        unsafe {
            let _ = advise(base, LEN, Advice::NoHugePage);
            body(base);
            unmap(base, LEN).unwrap();
        }
    }

    #[test]
    fn residency_counts_exactly_the_touched_pages_over_several_batches() {
        with_map(|base| {
            assert_eq!(resident(base, LEN), Ok(0));
            for page in (0..PAGES).step_by(3) {
                // SAFETY: inside the mapping.
                unsafe { base.add(page * PAGE_BYTES).write(1) };
            }
            assert_eq!(resident(base, LEN), Ok(PAGES / 3));
        });
    }

    #[test]
    fn populate_makes_pages_resident_and_keeps_contents() {
        with_map(|base| {
            // SAFETY: inside the mapping, ours alone.
            unsafe {
                base.add(5).write(42);
                populate(base, LEN / 2).unwrap();
                assert_eq!(resident(base, LEN), Ok(PAGES / 2));
                assert_eq!(base.add(5).read(), 42);
                advise(base, LEN, Advice::DontNeed).unwrap();
                assert_eq!(resident(base, LEN), Ok(0));
                assert_eq!(base.add(5).read(), 0);
            }
        });
    }

    #[test]
    fn populate_touches_by_itself_where_the_kernel_cannot() {
        in_child(|| {
            with_map(|base| {
                fault::fail_all(Call::Populate, Errno::EINVAL);
                // SAFETY: inside the mapping, ours alone.
                unsafe {
                    base.write(42);
                    assert_eq!(populate_safely(base, LEN), Err(Errno::EINVAL));
                    assert_eq!(resident(base, LEN), Ok(1));
                    populate(base, LEN).unwrap();
                    assert_eq!(resident(base, LEN), Ok(PAGES));
                    assert_eq!(base.read(), 42);
                    // The shared zero page is resident too; only a written page lies on a node.
                    if allowed_nodes().is_ok() {
                        assert!(node_of_page(base.add(LEN - 1).as_ptr()).is_ok());
                    }
                    fault::fail_all(Call::Populate, Errno::ENOMEM);
                    assert_eq!(populate(base, LEN), Err(Errno::ENOMEM));
                }
            });
        });
    }

    #[test]
    fn memory_that_cannot_be_written_cannot_be_populated() {
        let base = reserve(LEN, PAGE_BYTES).unwrap();
        // SAFETY: the test's own reservation.
        unsafe {
            assert!(populate_safely(base, LEN).is_err());
            assert_eq!(resident(base, LEN), Ok(0));
            unmap(base, LEN).unwrap();
        }
    }

    #[test]
    fn each_advice_is_taken_by_this_kernel_or_unknown_to_it() {
        use Advice::*;
        with_map(|base| {
            for advice in [HugePage, NoHugePage, Free, DontNeed, DontDump, DoDump, DontFork, DoFork] {
                // SAFETY: the contents are of no interest; nobody forks on this memory.
                let result = unsafe { advise(base, LEN, advice) };
                assert!(matches!(result, Ok(()) | Err(Errno::EINVAL)), "{advice:?}: {result:?}");
            }
        });
    }

    #[test]
    fn a_forked_child_does_not_see_what_it_shall_not_inherit() {
        in_child(|| {
            with_map(|base| {
                // SAFETY: the child calls nothing but async-signal-safe functions.
                unsafe {
                    advise(base, PAGE_BYTES, Advice::DontFork).unwrap();
                    let child = libc::fork();
                    if child == 0 {
                        let seen = is_readable(base.as_ptr()) as i32;
                        let beside = is_readable(base.add(PAGE_BYTES).as_ptr()) as i32;
                        libc::_exit(seen * 2 + beside);
                    }
                    let mut status = 0;
                    assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                    assert_eq!(libc::WEXITSTATUS(status), 1);
                }
            });
        });
    }
}
