//! Backing reserved address space with memory, and taking the memory back.

use super::mapping::Access;
use super::{Advice, advise};
use crate::os::errno::{Result, check};
use crate::os::fault::{Call, gate};
use core::ptr::NonNull;

/// Makes `len` reserved bytes at `addr` readable and writable. What was never touched, or was
/// decommitted, reads as zero. The memory policy of the range stays.
///
/// Errors: `ENOMEM` (commit limit under `vm.overcommit_memory=2`, or number of mappings). The range
/// is then as it was. mprotect(2).
///
/// # Safety
/// The range belongs to the caller and is mapped.
pub unsafe fn commit(addr: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: passed on.
    unsafe { protect(addr, len, Access::Ready) }
}

/// Gives the pages of the range back to the kernel and makes it reserved again. The memory policy
/// stays.
///
/// Errors: `EINVAL` if pages are locked (mlock(2), mlockall(2)): nothing has changed, contents
/// included. `ENOMEM` (number of mappings): the pages are gone, but the range is still readable and
/// writable, and zero. madvise(2), mprotect(2).
///
/// # Safety
/// The range belongs to the caller, is mapped, and nobody uses its contents any more.
pub unsafe fn decommit(addr: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: passed on.
    unsafe {
        advise(addr, len, Advice::DontNeed)?;
        protect(addr, len, Access::Reserved)
    }
}

/// # Safety
/// The range belongs to the caller; if it becomes `Reserved`, nobody touches it any more.
unsafe fn protect(addr: NonNull<u8>, len: usize, access: Access) -> Result<()> {
    gate(Call::Mprotect)?;
    // SAFETY: changes the protection of the caller's own memory only.
    check(unsafe { libc::mprotect(addr.as_ptr().cast(), len, access.protection()) }.into()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::errno::Errno;
    use crate::os::memory::{map, reserve, unmap};
    use crate::os::testing::is_readable;

    const MIB: usize = 1 << 20;

    fn bytes(base: NonNull<u8>, len: usize) -> &'static [u8] {
        // SAFETY: the tests pass committed memory of their own that nobody writes meanwhile.
        unsafe { core::slice::from_raw_parts(base.as_ptr(), len) }
    }

    #[test]
    fn decommitted_memory_is_unreachable_and_comes_back_as_zero() {
        let base = reserve(4 * MIB, 2 * MIB).unwrap();
        // SAFETY: the test's own reservation.
        unsafe {
            let middle = base.add(MIB);
            commit(middle, MIB).unwrap();
            assert!(!is_readable(base.as_ptr()));
            assert!(!is_readable(middle.add(MIB).as_ptr()));
            middle.write_bytes(0xa5, MIB);
            decommit(middle, MIB / 2).unwrap();
            assert!(!is_readable(middle.as_ptr()));
            assert!(bytes(middle.add(MIB / 2), MIB / 2).iter().all(|byte| *byte == 0xa5));
            commit(middle, MIB / 2).unwrap();
            assert!(bytes(middle, MIB / 2).iter().all(|byte| *byte == 0));
            unmap(base, 4 * MIB).unwrap();
        }
    }

    #[test]
    fn locked_memory_is_not_decommitted_and_keeps_its_contents() {
        let base = map(4096).unwrap();
        // SAFETY: the test's own mapping.
        unsafe {
            base.write_bytes(9, 4096);
            assert_eq!(libc::mlock(base.as_ptr().cast(), 4096), 0);
            assert_eq!(decommit(base, 4096), Err(Errno::EINVAL));
            assert_eq!(bytes(base, 4096)[4095], 9);
            unmap(base, 4096).unwrap();
        }
    }
}
