//! Counting the system calls of a program by tracing it.

#![allow(unsafe_code)]

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};
use nix::{
    sys::{
        ptrace,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// Runs a program to its end and counts the system calls of its main thread, from the end of its
/// `execve` on. An error where the kernel forbids tracing.
pub fn count_system_calls(mut program: Command) -> Result<u64> {
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { program.pre_exec(|| ptrace::traceme().map_err(io::Error::from)) };
    let child = Pid::from_raw(i32::try_from(program.spawn()?.id())?);
    // It stops by itself when the exec is done.
    waitpid(child, None)?;
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(child, options)?;
    let (mut stops, mut signal) = (0_u64, None);
    loop {
        ptrace::syscall(child, signal)?;
        signal = match waitpid(child, None)? {
            // One stop at the entry and one at the exit of each call; the last one has no exit.
            WaitStatus::Exited(..) => return Ok(stops.div_ceil(2)),
            WaitStatus::Signaled(_, signal, _) => bail!("killed by {signal}"),
            WaitStatus::PtraceSyscall(_) => {
                stops += 1;
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_more_calls_more() {
        let run = |script| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]);
            count_system_calls(shell)
        };
        // Tracing may be forbidden where the tests run.
        if let (Ok(little), Ok(more)) = (run(":"), run("umask; umask; umask; umask")) {
            assert!(little > 5 && more > little, "{little}, {more}");
        }
    }
}
