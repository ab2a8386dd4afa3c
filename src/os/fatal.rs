//! One line on stderr, and the end of the process: all that is safe to do when the heap is broken.
//!
//! Everything here is async-signal-safe: a buffer on the stack and `write(2)`, `abort(3)`.

use super::errno::{Errno, ErrnoGuard};
use super::fault::{Call, gate};

/// A line of text in a fixed buffer on the stack. What does not fit is cut off.
#[derive(Clone, Copy)]
pub struct Line {
    bytes: [u8; Self::BYTES],
    len: usize,
}

impl Line {
    /// Bytes of the buffer, the newline included.
    pub const BYTES: usize = 256;

    /// A line that begins with the allocator's name: `numaslab: `.
    pub fn new() -> Self {
        let mut line = Self { bytes: [0; Self::BYTES], len: 0 };
        line.push_str("numaslab: ");
        line
    }

    /// Adds text.
    pub fn push_str(&mut self, text: &str) -> &mut Self {
        self.push(text.as_bytes())
    }

    /// Adds bytes from outside; what is not printable ASCII becomes `?`.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.push(&[if byte.is_ascii_graphic() || *byte == b' ' { *byte } else { b'?' }]);
        }
        self
    }

    /// Adds a number in hexadecimal, with `0x`.
    pub fn push_hex(&mut self, value: usize) -> &mut Self {
        self.push(b"0x").push_number(value as u64, 16)
    }

    /// Adds a number in decimal.
    pub fn push_dec(&mut self, value: u64) -> &mut Self {
        self.push_number(value, 10)
    }

    /// The text so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, text: &[u8]) -> &mut Self {
        // One byte is kept free for the newline.
        let take = text.len().min(Self::BYTES - 1 - self.len);
        self.bytes[self.len..self.len + take].copy_from_slice(&text[..take]);
        self.len += take;
        self
    }

    fn push_number(&mut self, mut value: u64, base: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b"0123456789abcdef"[(value % base) as usize];
            value /= base;
            if value == 0 {
                return self.push(&digits[start..]);
            }
        }
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes the line and a newline to stderr, in one `write(2)`. If that fails, the line is lost.
/// Keeps `errno`.
#[cold]
pub fn warn(line: &Line) {
    let _errno = ErrnoGuard::new();
    let mut line = *line;
    line.bytes[line.len] = b'\n';
    while gate(Call::Write).is_ok() {
        // SAFETY: reads `len + 1` initialised bytes: `push` keeps `len` below BYTES.
        let ret = unsafe { libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.len + 1) };
        if ret != -1 || Errno::last() != Errno::EINTR {
            return;
        }
    }
}

/// Writes the line to stderr and aborts the process. abort(3).
#[cold]
pub fn die(line: &Line) -> ! {
    warn(line);
    // SAFETY: may be called anywhere, also in a signal handler; does not return.
    unsafe { libc::abort() }
}
