//! Processes for tests. The heap is one per process, and so are its mode, its limits, injected faults,
//! signal handlers and what goes to stderr: nearly every test here wants a process of its own.
//!
//! [`run`] executes the test program again, for the calling test alone; [`fork`] is a copy of the
//! process, a hundred times cheaper, for tests that need many.

use std::any::type_name;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitStatus, Output};

/// Tells a child which test it runs, and as what.
const CHILD: &str = "TEST_CHILD";
/// A child that prints this says why it did nothing.
const SKIPPED: &str = "SKIPPED: ";
/// What a child measured, to be said aloud.
const MEASURED: &str = "MEASURED: ";
/// A test that takes longer than this hangs: it dies of SIGALRM. Machines may be busy.
const TEST_SECONDS: u32 = 900;
/// Likewise for a fork, of which a test makes many.
const FORK_SECONDS: u32 = 240;
/// What a fork whose test panicked exits with.
const PANICKED: i32 = 101;

/// Executes the test program again with only the calling test, which comes here again, runs `body` and
/// gets `None`; the parent gets how the child ended and what it wrote. `body` must be a closure written
/// in the test itself: its type tells the test's name. `key` tells several children of one test apart.
pub(crate) fn run<F: FnOnce()>(key: &str, prepare: impl FnOnce(&mut Command), body: F) -> Option<Output> {
    run_test(test_of::<F>(), key, prepare, body)
}

/// As [`run`], and demands that the child succeeds. What it skipped is said aloud.
pub(crate) fn succeed<F: FnOnce()>(key: &str, prepare: impl FnOnce(&mut Command), body: F) {
    succeed_test(test_of::<F>(), key, prepare, body);
}

/// The name of the test in which the closure `F` is written.
pub(crate) fn test_of<F>() -> &'static str {
    let (_crate, path) = type_name::<F>().split_once("::").expect("a path");
    path.trim_end_matches("::{{closure}}")
}

/// Whether this process is a child of the test program.
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// As [`run`], for the test called `name`.
pub(crate) fn run_test(
    name: &str,
    key: &str,
    prepare: impl FnOnce(&mut Command),
    body: impl FnOnce(),
) -> Option<Output> {
    let child = format!("{name}#{key}");
    match std::env::var(CHILD) {
        Ok(running) if running == child => {
            limit_life(TEST_SECONDS);
            body();
            None
        }
        // Another child of the same test.
        Ok(_) => None,
        Err(_) => {
            let mut command = Command::new(std::env::current_exe().expect("a test program has a path"));
            command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, child);
            prepare(&mut command);
            Some(command.output().expect("the test program can run"))
        }
    }
}

/// As [`succeed`], for the test called `name`.
pub(crate) fn succeed_test(name: &str, key: &str, prepare: impl FnOnce(&mut Command), body: impl FnOnce()) {
    let Some(output) = run_test(name, key, prepare, body) else { return };
    was_skipped(name, key, &output);
    say_measured(name, key, &output);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success() && out.contains("1 passed"),
        "{name} ({key}): {}\n{out}\n{err}",
        describe(output.status)
    );
}

/// Whether a child skipped its test; says so aloud.
pub(crate) fn was_skipped(name: &str, key: &str, output: &Output) -> bool {
    let out = text(&output.stdout);
    let line = out.lines().find(|line| line.contains(SKIPPED));
    if let Some(line) = line {
        aloud(&format!("{name} ({key}): {line}"));
    }
    line.is_some()
}

fn say_measured(name: &str, key: &str, output: &Output) {
    for line in text(&output.stdout).lines() {
        if let Some((_, numbers)) = line.split_once(MEASURED) {
            aloud(&format!("{name} ({key}): {numbers}"));
        }
    }
}

/// Says, from within a child, what it measured.
pub(crate) fn measured(numbers: impl std::fmt::Display) {
    println!("{MEASURED}{numbers}");
}

/// Says, from within a child, that it does nothing, and why.
pub(crate) fn skip(why: &str) {
    println!("{SKIPPED}{why}");
}

/// Says something that no test harness swallows.
pub(crate) fn aloud(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What a child wrote.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How a child ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(libc::SIGALRM) => "hung: ended by its alarm".to_string(),
        _ => status.to_string(),
    }
}

fn limit_life(seconds: u32) {
    // SAFETY: sets a timer; its signal ends the process, which is meant.
    unsafe { libc::alarm(seconds) };
}

/// A fork of this process, which must have one thread only as far as locks are concerned (children made
/// by [`run`] have). It runs `body`, and exits with what that returns, or with 101 if it panics.
pub(crate) fn fork(body: impl FnOnce() -> i32) -> Forked {
    // SAFETY: see above: nobody else holds a lock that the child would wait for.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            limit_life(FORK_SECONDS);
            let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED);
            // SAFETY: ends the child without the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
        pid => Forked { pid },
    }
}

/// A forked child that is still to be waited for.
#[must_use]
pub(crate) struct Forked {
    pid: libc::pid_t,
}

impl Forked {
    /// Waits until it ends.
    pub(crate) fn wait(self) -> ExitStatus {
        let mut status = 0;
        loop {
            // SAFETY: writes one number.
            match unsafe { libc::waitpid(self.pid, &raw mut status, 0) } {
                pid if pid == self.pid => return ExitStatus::from_raw(status),
                _ => assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINTR)),
            }
        }
    }

    /// Waits until it ends, and demands that it exits with one of `codes`. Returns which.
    pub(crate) fn exits_with(self, codes: &[i32], what: impl std::fmt::Display) -> i32 {
        let status = self.wait();
        match status.code() {
            Some(code) if codes.contains(&code) => code,
            _ => panic!("{what}: {}", describe(status)),
        }
    }
}
