//! Counting the system calls of a program from outside, by tracing it.
//!
//! The kernel stops each thread of the program at the entry and the exit of each call (ptrace(2)) and goes on
//! when this module has looked. So a call takes some ten times as long as otherwise, and what happens
//! between calls takes no longer: counts are true, times of programs that call often are not.

#![allow(unsafe_code)]

use std::{
    collections::HashSet,
    io::{self, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitStatus, Output, Stdio},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::tally::{Mark, Tally};

/// What a traced program did.
#[derive(Debug)]
pub struct Traced {
    /// Its status and what it printed.
    pub output: Output,
    /// The calls of all its threads, from the end of its `execve` on.
    pub calls: u64,
    /// The calls that its threads made between their own [marks](Mark).
    pub marked: Tally,
}

/// Runs a program to its end and counts the system calls of all its threads.
///
/// # Errors
/// Where the kernel forbids tracing, or the program can't be started.
pub fn trace(mut program: Command) -> Result<Traced> {
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { program.pre_exec(|| ptrace::traceme().map_err(io::Error::from)) };
    let mut child = program.spawn().context("can't start a program to be traced")?;
    let leader = Pid::from_raw(i32::try_from(child.id())?);
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    // It stops by itself when the exec is done.
    waitpid(leader, None)?;
    ptrace::setoptions(
        leader,
        ptrace::Options::PTRACE_O_TRACESYSGOOD
            | ptrace::Options::PTRACE_O_TRACECLONE
            | ptrace::Options::PTRACE_O_EXITKILL,
    )?;
    let mut watch = Watch::new(leader);
    let status = watch.follow().inspect_err(|_| {
        // It would wait for its tracer forever.
        let _ = child.kill();
    })?;
    let read = |stream: JoinHandle<Vec<u8>>| stream.join().unwrap_or_default();
    let output = Output { status, stdout: read(stdout), stderr: read(stderr) };
    Ok(Traced { output, calls: watch.calls, marked: watch.marked })
}

/// Reads a stream to its end beside the tracing, so that the program never waits for a reader.
fn drain(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut text = Vec::new();
        // What was read until an error is worth as much as nothing: the reader of the text will tell.
        let _ = stream.map(|mut stream| stream.read_to_end(&mut text));
        text
    })
}

/// The threads of a traced program.
#[derive(Debug)]
struct Watch {
    leader: Pid,
    /// Threads that have stopped before: the first stop of a new one is no signal of its own.
    known: HashSet<Pid>,
    /// Threads that are between their marks.
    marking: HashSet<Pid>,
    calls: u64,
    marked: Tally,
}

impl Watch {
    /// Of a program whose only thread has just stopped after its exec.
    fn new(leader: Pid) -> Self {
        let (known, marking) = ([leader].into(), HashSet::new());
        Self { leader, known, marking, calls: 0, marked: Tally::default() }
    }

    /// Sees the program to its end.
    fn follow(&mut self) -> Result<ExitStatus> {
        go_on(self.leader, None)?;
        loop {
            // Other threads of this process may have children of their own.
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            let (thread, signal) = match waitpid(None, Some(flags))? {
                // The kernel reports the leader's end after that of all others.
                WaitStatus::Exited(thread, code) if thread == self.leader => {
                    return Ok(ExitStatus::from_raw(code << 8));
                }
                WaitStatus::Signaled(thread, signal, _) if thread == self.leader => {
                    return Ok(ExitStatus::from_raw(signal as i32));
                }
                WaitStatus::PtraceSyscall(thread) => {
                    self.look(thread);
                    (thread, None)
                }
                WaitStatus::Stopped(thread, signal) => (thread, self.passed_on(thread, signal)),
                WaitStatus::PtraceEvent(thread, ..) => (thread, None),
                _ => continue,
            };
            go_on(thread, signal)?;
        }
    }

    /// The signal that a stopped thread is to get.
    fn passed_on(&mut self, thread: Pid, signal: Signal) -> Option<Signal> {
        let is_first = self.known.insert(thread);
        (!is_first || signal != Signal::SIGSTOP).then_some(signal)
    }

    /// Counts the call at whose entry a thread has stopped.
    fn look(&mut self, thread: Pid) {
        // The thread may have been killed since; then there is nothing to count.
        let Ok(info) = ptrace::syscall_info(thread) else { return };
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return;
        }
        // SAFETY: the kernel fills this member of the union at an entry.
        let entry = unsafe { info.u.entry };
        self.calls += 1;
        match Mark::of(entry.nr, entry.args[0]) {
            Some(Mark::Begin) => drop(self.marking.insert(thread)),
            Some(Mark::End) => drop(self.marking.remove(&thread)),
            None if self.marking.contains(&thread) => self.marked.add(entry.nr),
            None => (),
        }
    }
}

/// Lets a stopped thread go on to its next call.
fn go_on(thread: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(thread, signal) {
        // Killed meanwhile: its end will be reported.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno).context("can't let a traced thread go on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Traced> {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        trace(shell)
    }

    // Tracing may be forbidden where the tests run; then there is nothing to see.

    #[test]
    fn a_program_that_does_more_calls_more() {
        if let (Ok(little), Ok(more)) = (shell(":"), shell("umask; umask; umask; umask")) {
            assert!(little.calls > 5 && more.calls > little.calls, "{little:?}, {more:?}");
            assert_eq!(little.marked, Tally::default());
        }
    }

    #[test]
    fn what_a_traced_program_says_and_how_it_ends_is_kept() {
        if let Ok(traced) = shell("echo out; echo err >&2; exit 3") {
            assert_eq!(traced.output.stdout, b"out\n");
            assert_eq!(traced.output.stderr, b"err\n");
            assert_eq!(traced.output.status.code(), Some(3));
        }
        if let Ok(traced) = shell("kill -9 $$") {
            assert_eq!(traced.output.status.signal(), Some(9));
        }
    }
}
