//! How much of the process lies on huge pages, as the kernel says.
//!
//! The statistics tell what was asked for; whether the kernel has put a transparent huge page somewhere, and
//! left it there, it alone knows.

use crate::os::file::{Path, Reader};
use crate::os::{Errno, ErrnoGuard, Result};

/// Bytes of the process, numaslab's and others, on huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugePages {
    /// On transparent ones (`AnonHugePages`).
    pub transparent_bytes: u64,
    /// On pages of the reserved pool (`Private_Hugetlb`). They are no part of the resident memory that the
    /// kernel tells elsewhere.
    pub reserved_bytes: u64,
}

/// Asks the kernel, which walks the process's page tables: some milliseconds for each GiB. Allocates nothing.
///
/// Errors: `ENOENT` without `/proc/self/smaps_rollup` (Linux 4.14).
pub fn huge_pages() -> Result<HugePages> {
    let _errno = ErrnoGuard::new();
    let mut reader = Reader::open(&Path::new(c"/proc/self/smaps_rollup"))?;
    // In the order of the file.
    Ok(HugePages {
        transparent_bytes: bytes_of(&mut reader, b"AnonHugePages:")?,
        reserved_bytes: bytes_of(&mut reader, b"Private_Hugetlb:")?,
    })
}

/// The next line that is called `name`.
fn bytes_of(reader: &mut Reader, name: &[u8]) -> Result<u64> {
    if !reader.skip_past(name)? {
        return Err(Errno::ENOENT);
    }
    reader.number()?.map(|kib| kib.saturating_mul(1024)).ok_or(Errno::ENOENT)
}
