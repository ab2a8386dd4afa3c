//! A program to be run with each allocator under it.

use std::{env, path::Path};

use anyhow::Result;

use super::stage::Stage;

/// What one run of a program gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// Bytes that are the same whatever allocator is under the program.
    pub proof: Vec<u8>,
    /// What is compared, the less the better, in the program's unit.
    pub figure: f64,
    /// The most memory that one of its processes had, in KiB, if it was looked at.
    pub peak_kib: Option<u64>,
}

/// A program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name in tables.
    pub name: &'static str,
    /// What it does, in a few words.
    pub what: &'static str,
    /// What its figure is.
    pub unit: &'static str,
    /// The commands that it needs.
    pub needs: &'static [&'static str],
    /// Makes what it reads, in an empty folder of its own.
    pub prepare: fn(folder: &Path) -> Result<()>,
    /// Runs it once.
    pub act: fn(stage: &Stage) -> Result<Act>,
}

impl Program {
    /// The first command that it needs and that is not there.
    pub fn misses(&self) -> Option<&'static str> {
        self.needs.iter().copied().find(|name| !is_there(name))
    }
}

fn is_there(command: &str) -> bool {
    if command.starts_with('/') {
        return Path::new(command).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(command).exists())
}
