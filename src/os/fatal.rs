//! One line on stderr, and the end of the process: all that is safe to do when the heap is broken.
//!
//! Everything here is async-signal-safe: a buffer on the stack and `write(2)`, `abort(3)`.

use super::errno::{ErrnoGuard, check, until_done};
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
    let _ = until_done(|| {
        gate(Call::Write)?;
        // SAFETY: reads `len + 1` initialised bytes: `push` keeps `len` below BYTES.
        let ret = unsafe { libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.len + 1) };
        check(ret as libc::c_long)
    });
}

/// Writes the line to stderr and aborts the process. abort(3).
#[cold]
pub fn die(line: &Line) -> ! {
    warn(line);
    // SAFETY: may be called anywhere, also in a signal handler; does not return.
    unsafe { libc::abort() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::errno::Errno;
    use crate::os::fault;
    use crate::os::testing::{run_in_child, stderr};
    use std::os::unix::process::ExitStatusExt;
    use std::string::String;

    fn text(line: &Line) -> String {
        String::from_utf8(line.as_bytes().into()).unwrap()
    }

    #[test]
    fn numbers_are_written_in_full() {
        let mut line = Line::new();
        line.push_dec(0).push_str(" ").push_dec(u64::MAX).push_str(" ").push_hex(0).push_str(" ");
        line.push_hex(usize::MAX);
        assert_eq!(text(&line), "numaslab: 0 18446744073709551615 0x0 0xffffffffffffffff");
    }

    #[test]
    fn what_does_not_fit_is_cut_off_and_leaves_room_for_the_newline() {
        let mut line = Line::new();
        for _ in 0..100 {
            line.push_str("0123456789").push_dec(12345);
        }
        assert_eq!(line.as_bytes().len(), Line::BYTES - 1);
        assert!(text(&line).starts_with("numaslab: 0123456789123450123"));
    }

    #[test]
    fn bytes_from_outside_cannot_control_the_terminal() {
        let mut line = Line::new();
        line.push_bytes(b"a\x1b[2J\nb\xff c");
        assert_eq!(text(&line), "numaslab: a?[2J?b? c");
    }

    #[test]
    fn die_writes_one_line_and_aborts() {
        let output = run_in_child(
            |_| {},
            || {
                let mut line = Line::new();
                line.push_str("double free of ").push_hex(0xdead0);
                die(&line);
            },
        );
        let output = output.unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGABRT));
        assert!(stderr(&output).contains("numaslab: double free of 0xdead0\n"), "{}", stderr(&output));
    }

    #[test]
    fn warn_retries_after_a_signal_keeps_errno_and_gives_up_on_other_errors() {
        let output = run_in_child(
            |_| {},
            || {
                let mut line = Line::new();
                fault::fail_nth(Call::Write, 1, Errno::EINTR);
                warn(line.push_str("interrupted"));
                fault::fail_nth(Call::Write, 1, Errno::EIO);
                warn(line.push_str("lost"));
                // SAFETY: this thread's own errno; descriptor 2 is closed to make the write fail.
                unsafe {
                    libc::close(libc::STDERR_FILENO);
                    *libc::__errno_location() = 99;
                }
                warn(&line);
                assert_eq!(Errno::last(), Errno(99));
            },
        );
        if let Some(output) = output {
            assert!(output.status.success());
            assert!(stderr(&output).contains("numaslab: interrupted\n"));
            assert!(!stderr(&output).contains("lost"));
        }
    }
}
