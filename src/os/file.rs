//! Reading the small text files of `/sys` and `/proc` with a stack buffer.
//!
//! Key types: [`Path`] (a path put together on the stack), [`Reader`] (a file read in one pass, of any
//! length). Neighbours: `topology` and `cgroup`.

use super::errno::{Errno, Result, check, until_done};
use super::fault::{Call, gate};
use core::ffi::CStr;

/// A NUL-terminated path in a fixed buffer. A path that does not fit is refused when it is opened.
#[derive(Clone, Copy)]
pub struct Path {
    bytes: [u8; Self::BYTES],
    len: usize,
}

impl Path {
    /// Bytes of the buffer, the terminating NUL included.
    pub const BYTES: usize = 384;

    /// A path that begins with `root`.
    pub fn new(root: &CStr) -> Self {
        let mut path = Self { bytes: [0; Self::BYTES], len: 0 };
        path.push(root.to_bytes());
        path
    }

    /// Adds bytes. A NUL in them ends the path for the kernel.
    pub fn push(&mut self, part: &[u8]) -> &mut Self {
        // A path that is too long gets a length of BYTES and stays too long.
        let end = self.len.saturating_add(part.len());
        match self.bytes.get_mut(self.len..end) {
            Some(room) if end < Self::BYTES => {
                room.copy_from_slice(part);
                self.len = end;
            }
            _ => self.len = Self::BYTES,
        }
        self
    }

    /// Adds a number in decimal.
    pub fn push_dec(&mut self, value: usize) -> &mut Self {
        let mut power = 1;
        while value / power >= 10 {
            power *= 10;
        }
        while power != 0 {
            self.push(&[b'0' + (value / power % 10) as u8]);
            power /= 10;
        }
        self
    }

    /// Whether something of this name exists. Errors count as no.
    pub fn exists(&self) -> bool {
        match self.open(libc::O_PATH | libc::O_CLOEXEC) {
            Ok(fd) => {
                close(fd);
                true
            }
            Err(_) => false,
        }
    }

    /// Errors: `ENAMETOOLONG` if the path did not fit; else open(2).
    fn open(&self, flags: i32) -> Result<i32> {
        if self.len >= Self::BYTES {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        let open = || {
            gate(Call::Open)?;
            // SAFETY: `push` keeps `len < BYTES` and everything from `len` on is 0, so the path is
            // NUL-terminated.
            check(unsafe { libc::open(self.bytes.as_ptr().cast(), flags) }.into())
        };
        until_done(open).map(|fd| fd as i32)
    }
}

/// A text file, read once from its beginning to its end. An error while reading is an error of the
/// function that met it.
pub struct Reader {
    fd: i32,
    /// The bytes `at .. end` are read but not yet used.
    buffer: [u8; 256],
    at: usize,
    end: usize,
}

impl Reader {
    /// Opens a file for reading. open(2).
    pub fn open(path: &Path) -> Result<Self> {
        let fd = path.open(libc::O_RDONLY | libc::O_CLOEXEC)?;
        Ok(Self { fd, buffer: [0; 256], at: 0, end: 0 })
    }

    /// The next byte, which stays the next; `None` at the end. read(2).
    pub fn peek(&mut self) -> Result<Option<u8>> {
        if self.at == self.end {
            self.fill()?;
        }
        Ok(self.buffer[self.at..self.end].first().copied())
    }

    /// The next byte, consumed; `None` at the end. read(2).
    pub fn byte(&mut self) -> Result<Option<u8>> {
        let byte = self.peek()?;
        self.at += byte.is_some() as usize;
        Ok(byte)
    }

    /// Moves behind the next occurrence of `key`; false if there is none. `key` must not begin with
    /// a byte that it contains again.
    pub fn skip_past(&mut self, key: &[u8]) -> Result<bool> {
        let mut matched = 0;
        while matched < key.len() {
            match self.byte()? {
                None => return Ok(false),
                Some(byte) if byte == key[matched] => matched += 1,
                Some(byte) => matched = (byte == key[0]) as usize,
            }
        }
        Ok(true)
    }

    /// The decimal number that comes next, after blanks (spaces, tabs, newlines); `None` if something
    /// else comes. A number beyond 64 bits becomes the largest.
    pub fn number(&mut self) -> Result<Option<u64>> {
        while matches!(self.peek()?, Some(b' ' | b'\t' | b'\n')) {
            self.byte()?;
        }
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.peek()? {
            self.byte()?;
            let so_far: u64 = number.unwrap_or(0);
            number = Some(so_far.saturating_mul(10).saturating_add((digit - b'0').into()));
        }
        Ok(number)
    }

    /// A list of numbers as the kernel writes CPU and node lists, such as `0-3,8,10-11`: calls
    /// `range` with the first and the last of each range. Ends at the first thing that is no list.
    pub fn list(&mut self, mut range: impl FnMut(u64, u64)) -> Result<()> {
        while let Some(first) = self.number()? {
            let mut last = first;
            if self.peek()? == Some(b'-') {
                self.byte()?;
                last = self.number()?.unwrap_or(first);
            }
            range(first, last);
            if self.peek()? != Some(b',') {
                break;
            }
            self.byte()?;
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        let len = until_done(|| {
            gate(Call::Read)?;
            // SAFETY: reads at most the length of the buffer into the buffer.
            let ret = unsafe { libc::read(self.fd, self.buffer.as_mut_ptr().cast(), self.buffer.len()) };
            check(ret as libc::c_long)
        })?;
        (self.at, self.end) = (0, len);
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        close(self.fd);
    }
}

fn close(fd: i32) {
    // Linux releases the descriptor whatever close(2) returns, so no error is of use here; an
    // injected one must not leak the descriptor either.
    let _ = gate(Call::Close);
    // SAFETY: the callers own `fd` and do not use it again.
    unsafe { libc::close(fd) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::TempDir;
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    fn reader(dir: &TempDir, text: &str) -> Reader {
        dir.write("file", text);
        let mut path = Path::new(&dir.root());
        Reader::open(path.push(b"/file")).unwrap()
    }

    fn ranges(reader: &mut Reader) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        reader.list(|first, last| ranges.push((first, last))).unwrap();
        ranges
    }

    #[test]
    fn lists_are_read_in_all_the_kernels_forms() {
        let dir = TempDir::new();
        for (text, expected) in [
            ("0\n", vec![(0, 0)]),
            ("0-3,8,10-11\n", vec![(0, 3), (8, 8), (10, 11)]),
            ("\n", vec![]),
            ("", vec![]),
            ("7", vec![(7, 7)]),
            ("5-", vec![(5, 5)]),
            ("x", vec![]),
        ] {
            assert_eq!(ranges(&mut reader(&dir, text)), expected, "{text:?}");
        }
    }

    #[test]
    fn a_list_longer_than_the_buffer_is_read_whole() {
        let dir = TempDir::new();
        let text: String = (0..4000).map(|n| format!("{},", n * 2)).collect();
        let expected: Vec<_> = (0..4000).map(|n| (n * 2, n * 2)).collect();
        assert_eq!(ranges(&mut reader(&dir, &text)), expected);
    }

    #[test]
    fn a_key_is_found_across_the_end_of_the_buffer_and_after_a_false_start() {
        let dir = TempDir::new();
        for pad in 240..260 {
            let text = format!("{}Mem MeMemFree: 12 kB", " ".repeat(pad));
            let mut reader = reader(&dir, &text);
            assert_eq!(reader.skip_past(b"MemFree:"), Ok(true), "pad {pad}");
            assert_eq!(reader.number(), Ok(Some(12)));
            assert_eq!(reader.skip_past(b"MemFree:"), Ok(false));
        }
    }

    #[test]
    fn numbers_saturate_and_stop_at_what_is_none() {
        let dir = TempDir::new();
        let mut reader = reader(&dir, " \t10\n99999999999999999999 max");
        assert_eq!(reader.number(), Ok(Some(10)));
        assert_eq!(reader.number(), Ok(Some(u64::MAX)));
        assert_eq!(reader.number(), Ok(None));
        assert_eq!(reader.byte(), Ok(Some(b'm')));
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused_not_cut() {
        let dir = TempDir::new();
        dir.write("file", "");
        let mut path = Path::new(&dir.root());
        path.push(b"/file");
        assert!(path.exists());
        // The cut path would exist: only slashes are added.
        path.push(&[b'/'; Path::BYTES]);
        assert!(!path.exists());
        assert_eq!(path.push(b"x").open(libc::O_RDONLY), Err(Errno(libc::ENAMETOOLONG)));
    }

    #[test]
    fn numbers_in_paths_have_all_their_digits() {
        let mut path = Path::new(c"n");
        path.push_dec(0).push(b",").push_dec(1009).push(b",").push_dec(usize::MAX);
        assert_eq!(&path.bytes[..path.len], format!("n0,1009,{}", usize::MAX).as_bytes());
    }

    #[test]
    fn readers_leave_no_descriptor_behind() {
        let dir = TempDir::new();
        let first = reader(&dir, "1").fd;
        for _ in 0..2000 {
            drop(reader(&dir, "1"));
        }
        // Other tests open files too, but not thousands at once.
        assert!(reader(&dir, "1").fd < first + 1000);
    }
}
