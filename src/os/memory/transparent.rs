//! How the kernel is set up for transparent huge pages.

use crate::os::errno::Result;
use crate::os::file::{Path, Reader};
use core::ffi::CStr;

const ENABLED: &CStr = c"/sys/kernel/mm/transparent_hugepage/enabled";

/// Whether the kernel lays memory on huge pages for which nobody asked (`MADV_HUGEPAGE`).
///
/// Errors: `ENOENT` if it has no transparent huge pages, or sysfs is not there; open(2), read(2).
pub fn huge_pages_come_unasked() -> Result<bool> {
    is_always(ENABLED)
}

/// The file names all modes, such as `always [madvise] never`.
fn is_always(file: &CStr) -> Result<bool> {
    Reader::open(&Path::new(file))?.skip_past(b"[always]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Errno;
    use std::ffi::CString;
    use std::format;

    #[test]
    fn the_mode_in_brackets_counts() {
        let file = std::env::temp_dir().join(format!("numaslab-thp-{}", std::process::id()));
        let path = CString::new(file.to_str().expect("UTF-8")).expect("no NUL");
        let cases = [
            ("[always] madvise never\n", true),
            ("always [madvise] never\n", false),
            ("always madvise [never]\n", false),
            ("", false),
        ];
        for (text, expected) in cases {
            std::fs::write(&file, text).expect("a file");
            assert_eq!(is_always(&path), Ok(expected), "{text}");
        }
        std::fs::remove_file(&file).expect("the file");
        assert_eq!(is_always(&path), Err(Errno::ENOENT));
    }
}
