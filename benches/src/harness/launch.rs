//! Starting children and reading what they print.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;

use super::trace::trace;
use crate::{
    allocator::Allocator,
    child::{About, BUILD, Order},
    outcome::Outcome,
    tally::{self, OPERATIONS},
    workload::{Job, Soak, TRACED_CALLS, Task},
};

/// Starts the children that lie beside this program.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The folder of this program.
    pub folder: PathBuf,
    /// Seconds that a run may take.
    pub timeout_s: u32,
}

impl Launcher {
    /// A launcher of runs that may take `timeout_s` seconds.
    pub fn new(timeout_s: u32) -> Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let folder = program.parent().context("a program lies in a folder")?.to_owned();
        Ok(Self { folder, timeout_s })
    }

    /// One run.
    pub fn run(&self, allocator: Allocator, job: &Job) -> Result<Outcome> {
        let timeout_s = self.timeout_s;
        match job {
            Job::Task(task) => {
                let order = serde_json::to_string(&Order { timeout_s, task })?;
                ask(self.command(Kind::Value, allocator), &order)
            }
            Job::Paged(pages, task) => {
                let order = serde_json::to_string(&Order { timeout_s, task })?;
                let mut child = self.command(Kind::Value, allocator);
                child.envs(pages.environment(allocator));
                ask(child, &order)
            }
            Job::Traced(task) => {
                let order = serde_json::to_string(&Order { timeout_s, task })?;
                self.count_calls(allocator, &order)
            }
            Job::Soak(soak) => self.soak(allocator, soak),
            Job::GlobalTask(task) => {
                let order = serde_json::to_string(&Order { timeout_s, task })?;
                ask(self.command(Kind::Global, allocator), &order)
            }
            Job::Startup(startup) => startup.run(|| self.command(Kind::Global, allocator)),
        }
    }

    /// A long run, and a traced one after it where tracing is allowed.
    fn soak(&self, allocator: Allocator, soak: &Soak) -> Result<Outcome> {
        let timeout_s = self.timeout_s.saturating_add(soak.seconds());
        let order = serde_json::to_string(&Order { timeout_s, task: Task::Soak(soak.clone()) })?;
        let mut outcome: Outcome = ask(self.command(Kind::Value, allocator), &order)?;
        // The ceiling's calls would be glibc's, where its blocks come from.
        if allocator != Allocator::Ceiling {
            let task = Task::Syscalls(soak.traced());
            let order = serde_json::to_string(&Order { timeout_s: self.timeout_s, task })?;
            let traced = self.count_calls(allocator, &order).ok();
            let total = traced.as_ref().and_then(|traced| traced.figure(&tally::TOTAL));
            outcome.figures.extend(total.map(|total| (TRACED_CALLS.name.to_owned(), total)));
        }
        Ok(outcome)
    }

    /// One run whose system calls are counted: an outcome with the figures of [`Tally`].
    ///
    /// [`Tally`]: crate::tally::Tally
    fn count_calls(&self, allocator: Allocator, order: &str) -> Result<Outcome> {
        let mut child = self.command(Kind::Value, allocator);
        child.arg(order);
        let traced = trace(child).with_context(|| format!("can't trace a child of {allocator}"))?;
        let mut outcome: Outcome = read(&traced.output)?;
        let operations = outcome.figures.get(OPERATIONS.name).context("the child counted no operations")?;
        let calls = traced.marked.figures(operations * 1e6);
        outcome.figures.extend(calls);
        Ok(outcome)
    }

    /// The versions of allocators, from their children. Refuses children of another build.
    pub fn versions(&self, allocators: &[Allocator]) -> Result<BTreeMap<Allocator, String>> {
        let version = |&allocator: &Allocator| {
            self.about(Kind::Global, allocator)?;
            Ok((allocator, self.about(Kind::Value, allocator)?.version))
        };
        self.about(Kind::Value, Allocator::Ceiling)?;
        allocators.iter().map(version).collect()
    }

    fn about(&self, kind: Kind, allocator: Allocator) -> Result<About> {
        let command = self.command(kind, allocator);
        let program = PathBuf::from(command.get_program());
        let about: About = ask(command, "about")?;
        if about.build != BUILD {
            bail!("{} was built from other sources; {REBUILD}", program.display());
        }
        Ok(about)
    }

    /// A child's program with its environment.
    fn command(&self, kind: Kind, allocator: Allocator) -> Command {
        let program = allocator.program();
        let name = match kind {
            Kind::Value => format!("numaslab-bench-{program}"),
            Kind::Global => format!("numaslab-bench-global-{program}"),
        };
        let mut command = Command::new(self.folder.join(name));
        command.envs(allocator.environment().iter().copied());
        command
    }
}

/// The two programs of an allocator.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// It is used as a value.
    Value,
    /// It is the global allocator.
    Global,
}

/// Starts a child with a request and reads its answer.
fn ask<Answer: DeserializeOwned>(mut child: Command, request: &str) -> Result<Answer> {
    let output = child
        .arg(request)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("can't start {}; {REBUILD}", child.get_program().display()))?;
    read(&output)
}

/// What to do about missing or stale children.
const REBUILD: &str = "build all programs with `cargo build --release -p numaslab-bench --bins` \
                       and the same --features";

/// The answer in a child's output, or why there is none.
fn read<Answer: DeserializeOwned>(output: &Output) -> Result<Answer> {
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
        return Err(anyhow!("{}: {last}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().context("the child printed nothing")?;
    serde_json::from_str(line).with_context(|| format!("the child printed '{line}'"))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

    use super::*;

    fn output(status: i32, stdout: &str, stderr: &str) -> Output {
        let status = ExitStatus::from_raw(status);
        Output { status, stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn a_killed_child_is_reported_with_its_signal_and_last_words() {
        let killed = output(11, "", "first\nheap corrupted\n\n");
        let text = read::<Outcome>(&killed).expect_err("killed").to_string();
        assert!(text.contains("signal: 11") && text.contains("heap corrupted"), "{text}");
    }

    #[test]
    fn garbage_is_not_an_outcome() {
        let error = read::<Outcome>(&output(0, "hello\n", "")).expect_err("garbage");
        assert!(error.to_string().contains("hello"));
        assert!(read::<Outcome>(&output(0, "", "")).is_err());
    }

    #[test]
    fn the_last_line_counts() {
        let figures = [("mops".to_owned(), 2.5)].into();
        let outcome = Outcome { figures, resources: Default::default(), course: None, mode: None };
        let line = serde_json::to_string(&outcome).expect("serialises");
        let read: Outcome = read(&output(0, &format!("chatter\n{line}\n"), "")).expect("an outcome");
        assert_eq!(read.figures["mops"], 2.5);
    }

    #[test]
    fn a_missing_child_says_how_to_build_it() {
        let launcher = Launcher { folder: "/nowhere".into(), timeout_s: 1 };
        let error = launcher.versions(&[Allocator::Glibc]).expect_err("missing");
        assert!(format!("{error:#}").contains("--bins"), "{error:#}");
    }
}
