//! Filling in a report. [`survey`] asks this host; each file here asks for one part of it.
//!
//! What sysfs and procfs tell is read below a root that tests can move; what is tried, is tried on the
//! running kernel.

mod files;
mod groups;
mod kernel;
mod limits;
mod machine;
mod mode;
mod policy;
mod rseq;

use anyhow::{Context, Result};
use numaslab_numa::{CpuSet, Topology};

use crate::advice::advice;
use crate::report::{FORM, Report};
use files::Files;

/// Asks this host, in some milliseconds.
///
/// # Errors
/// If sysfs or procfs can't be read or understood; the text names the file.
pub fn survey() -> Result<Report> {
    let files = Files::below("/");
    let topology = Topology::discover().context("the topology")?;
    // First of all: numaslab takes restartable sequences and membarrier as it finds them.
    let mode = mode::mode(&topology);
    let policy = policy::policy(&files, &topology);
    let mut report = Report {
        form: FORM,
        version: env!("CARGO_PKG_VERSION"),
        host: machine::host(&files),
        cpus: machine::cpus(&topology),
        nodes: machine::nodes(&files, &topology),
        rseq: rseq::rseq(&files),
        membarrier: policy::membarrier(&files),
        policy,
        kernel: kernel::kernel(&files),
        limits: limits::limits(&files),
        groups: groups::groups("/").context("the control groups")?,
        advice: Vec::new(),
        exit_code: mode.exit_code(),
        mode,
    };
    report.advice = advice(&report);
    Ok(report)
}

/// The CPUs of a list such as `0-3,8`.
pub(crate) fn cpu_set(list: &str) -> Option<CpuSet> {
    list.parse().ok()
}
