//! The CPU quota of the process's cgroup, of version 2 and of version 1.
//!
//! Version 2 keeps it in `cpu.max` ("MAX PERIOD" in microseconds, or "max"), version 1 in
//! `cpu.cfs_quota_us` (-1 for none) and `cpu.cfs_period_us` (kernel documents
//! `admin-guide/cgroup-v2.rst` and `scheduler/sched-bwc.rst`). A limit of any ancestor holds too,
//! so the smallest share on the way up counts.

use std::num::NonZero;
use std::path::Path;

use super::group::ControlGroup;
use super::quota::CpuQuota;
use crate::error::Result;
use crate::tree::Tree;

/// The smallest quota that holds for the calling process; `None` if nothing limits it.
pub(super) fn quota(tree: &Tree) -> Result<Option<CpuQuota>> {
    let mut smallest = None;
    for group in ControlGroup::read(tree)?.iter().filter(|group| group.may_control("cpu")) {
        for directory in group.directories() {
            let found =
                if group.version() == 2 { quota_v2(tree, directory) } else { quota_v1(tree, directory) };
            smallest = found?.into_iter().chain(smallest).min();
        }
    }
    Ok(smallest)
}

fn quota_v2(tree: &Tree, directory: &Path) -> Result<Option<CpuQuota>> {
    let file = directory.join("cpu.max");
    let Some(text) = tree.text_if_any(&file)? else { return Ok(None) };
    let (time, period) = text.trim().split_once(' ').unwrap_or((text.trim(), "100000"));
    if time == "max" {
        return Ok(None);
    }
    let quota = time.parse().ok().zip(period.parse().ok()).map(|(time, period)| CpuQuota::new(time, period));
    quota.map(Some).ok_or_else(|| tree.malformed(file, &text, "'max PERIOD' or 'TIME PERIOD'"))
}

fn quota_v1(tree: &Tree, directory: &Path) -> Result<Option<CpuQuota>> {
    let time = tree.number_if_any(directory.join("cpu.cfs_quota_us"))?;
    let period = tree.number_if_any(directory.join("cpu.cfs_period_us"))?;
    let time = time.and_then(|us| u64::try_from(us).ok());
    let period = period.and_then(|us| u64::try_from(us).ok()).and_then(NonZero::new);
    Ok(time.zip(period).map(|(time, period)| CpuQuota::new(time, period)))
}
