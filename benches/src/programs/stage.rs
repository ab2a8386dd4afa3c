//! Running a command with an allocator under it: for its time, or for its peak of memory.
//!
//! The most memory that a process ever had is asked for when it ends, by tracing it (`PTRACE_O_TRACEEXIT`):
//! what wait4(2) tells is at least what the process had that started it. Tracing takes time, so a run is for the
//! one or for the other.

#![allow(unsafe_code)]

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use nix::{
    libc,
    sys::{
        ptrace::{self, Options},
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::library::Library;

/// Seconds after which a process of a program is hung: it dies of SIGALRM.
const MOST_SECONDS: u32 = 300;

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Its time.
    Time,
    /// Its peak of memory.
    Memory,
}

/// Where a program is run.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The program's folder, which its `prepare` has filled.
    pub folder: PathBuf,
    /// What is under it.
    pub library: Library,
    /// The library's file.
    pub file: PathBuf,
    /// What the run is for.
    pub look: Look,
}

/// A command that has run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What it printed to stdout.
    pub stdout: Vec<u8>,
    /// From its start to its end.
    pub seconds: f64,
    /// The most memory that one of its processes had, in KiB; `None` if the run was for its time.
    pub peak_kib: Option<u64>,
}

impl Stage {
    /// A command in the program's folder, with the library under it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
        self.library.put_under(&mut command, &self.file);
        command
    }

    /// Runs a command to its end, with `input` at its stdin.
    ///
    /// # Errors
    /// If it can't be started, or does not succeed.
    pub fn run(&self, mut command: Command, input: &[u8]) -> Result<Ran> {
        let name = command.get_program().display().to_string();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let traced = self.look == Look::Memory;
        let prepare = move || {
            // SAFETY: sets a timer whose signal ends the process, which is meant.
            unsafe { libc::alarm(MOST_SECONDS) };
            if traced { ptrace::traceme().map_err(io::Error::from) } else { Ok(()) }
        };
        // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(prepare) };
        let begun = Instant::now();
        let mut child = command.spawn().with_context(|| format!("can't start {name}"))?;
        let (output, peak_kib) = thread::scope(|scope| -> Result<(Output, Option<u64>)> {
            let pipe = child.stdin.take();
            scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(input)));
            let read = |stream: Option<Box<dyn Read + Send>>| {
                scope.spawn(move || {
                    let mut text = Vec::new();
                    // What came until an error is worth nothing; the reader of the text will tell.
                    let _ = stream.map(|mut stream| stream.read_to_end(&mut text));
                    text
                })
            };
            let stdout = read(child.stdout.take().map(|stream| Box::new(stream) as _));
            let stderr = read(child.stderr.take().map(|stream| Box::new(stream) as _));
            let (status, peak_kib) = match self.look {
                Look::Time => (child.wait()?, None),
                Look::Memory => follow(&mut child).map(|(status, peak)| (status, Some(peak)))?,
            };
            let text = |stream: thread::ScopedJoinHandle<'_, Vec<u8>>| stream.join().unwrap_or_default();
            Ok((Output { status, stdout: text(stdout), stderr: text(stderr) }, peak_kib))
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        if !output.status.success() {
            let all = [output.stdout, output.stderr].concat();
            let end = String::from_utf8_lossy(&all[all.len().saturating_sub(1500)..]).into_owned();
            bail!("{name}: {}: {end}", output.status);
        }
        Ok(Ran { stdout: output.stdout, seconds, peak_kib })
    }

    /// As [`run`](Self::run), without an input.
    ///
    /// # Errors
    /// Likewise.
    pub fn just_run(&self, command: Command) -> Result<Ran> {
        self.run(command, &[])
    }
}

/// The most memory that a process has had so far, in KiB.
pub fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Sees a traced program and all processes that it starts to their end; returns the highest of their peaks.
fn follow(child: &mut Child) -> Result<(ExitStatus, u64)> {
    let leader = Pid::from_raw(i32::try_from(child.id())?);
    // It stops by itself when the exec is done.
    waitpid(leader, None)?;
    let options = Options::PTRACE_O_TRACEEXIT
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(leader, options)?;
    ptrace::cont(leader, None)?;
    let (mut status, mut peak) = (None, 0);
    loop {
        // Other threads of this process may have children of their own.
        let stopped = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
            Ok(stopped) => stopped,
            // All are gone.
            Err(nix::errno::Errno::ECHILD) => break,
            Err(error) => return Err(error.into()),
        };
        let (process, signal) = match stopped {
            WaitStatus::Exited(process, code) if process == leader => {
                status = Some(ExitStatus::from_raw(code << 8));
                continue;
            }
            WaitStatus::Signaled(process, signal, _) if process == leader => {
                status = Some(ExitStatus::from_raw(signal as i32));
                continue;
            }
            WaitStatus::PtraceEvent(process, _, event) => {
                if event == libc::PTRACE_EVENT_EXIT {
                    peak = peak.max(peak_kib(u32::try_from(process.as_raw())?).unwrap_or(0));
                }
                (process, None)
            }
            // A new process or thread begins with this one, which is not its own.
            WaitStatus::Stopped(process, Signal::SIGSTOP) => (process, None),
            WaitStatus::Stopped(process, signal) => (process, Some(signal)),
            _ => continue,
        };
        // It may have been killed since.
        let _ = ptrace::cont(process, signal);
    }
    Ok((status.context("the program's end was not seen")?, peak))
}
