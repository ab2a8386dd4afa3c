//! Helpers of this floor's tests: a process of its own for a test (fault injection, stderr, aborts,
//! limits and the environment belong to the whole process), and temporary trees of files.

use core::any::type_name;
use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::string::String;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{eprint, format, fs};

/// The variable that tells a child which test it is running.
const CHILD: &str = "OS_TEST_CHILD";

/// Runs `body` in a child process and demands that it succeeds. `body` is a closure written in the
/// test itself: its type tells which test the child has to run.
pub(crate) fn in_child<F: FnOnce()>(body: F) {
    in_child_with(|_| {}, body);
}

/// As [`in_child`], with the child's environment as `prepare` makes it.
pub(crate) fn in_child_with<F: FnOnce()>(prepare: impl FnOnce(&mut Command), body: F) {
    let Some(output) = run_in_child(prepare, body) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "no such test, or it failed: {}\n{text}\n{}",
        output.status,
        stderr(&output)
    );
    eprint!("{}", stderr(&output));
}

/// Re-executes the test binary with only the calling test, which comes here again, runs `body` and
/// gets `None`. The parent gets what the child wrote and how it ended.
pub(crate) fn run_in_child<F: FnOnce()>(prepare: impl FnOnce(&mut Command), body: F) -> Option<Output> {
    let (_crate, name) = type_name::<F>().split_once("::").expect("a path");
    let name = name.trim_end_matches("::{{closure}}");
    if std::env::var_os(CHILD).is_some_and(|running| running == name) {
        body();
        return None;
    }
    let mut command = Command::new(std::env::current_exe().expect("a test binary has a path"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, name);
    prepare(&mut command);
    Some(command.output().expect("the test binary can run"))
}

/// What the child wrote to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the byte at `address` can be read, found out without reading it here.
pub(crate) fn is_readable(address: *const u8) -> bool {
    let mut pipe = [0; 2];
    // SAFETY: the kernel writes two descriptors; `write` from an unreadable address is an error
    // (EFAULT), not a fault.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let written = libc::write(pipe[1], address.cast(), 1);
        libc::close(pipe[0]);
        libc::close(pipe[1]);
        written == 1
    }
}

/// Makes the system call `number` fail with `EPERM` from now on in this thread and its children, as
/// the default seccomp filter of containers does.
pub(crate) fn forbid(number: libc::c_long) {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, number as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter outlives the call, which copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter), 0);
    }
}

/// While it is there, the reserved pool of huge pages is ours: tests of all programs that use it ask here, or
/// in `tests/support/reserved.rs`.
pub(crate) fn reserved_pool() -> fs::File {
    let lock = fs::File::create(std::env::temp_dir().join("numaslab-reserved-pool.lock")).unwrap();
    // SAFETY: the descriptor is open; the lock goes with it.
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) }, 0);
    lock
}

/// A directory for one test, removed at its end.
pub(crate) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!("os-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    /// The directory as the functions of this floor want it.
    pub(crate) fn root(&self) -> CString {
        CString::new(self.path.as_os_str().as_bytes()).unwrap()
    }

    /// Writes a file, with the directories on the way to it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path.join(name)).unwrap();
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
