//! The command line of `numaslab-doctor`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use numaslab_doctor::{screen::Screen, survey::survey};

/// Tells what this host gives numaslab, which mode it will choose, and what would improve it.
#[derive(Debug, Parser)]
#[command(
    name = "numaslab-doctor",
    version,
    after_help = "Exit code:
  0   blocks are cached per CPU, and memory is bound to its node (or there is one node only)
  10  blocks are not cached per CPU
  11  memory is not bound to its node
  12  neither
  13  numaslab can't be started
  1   this host can't be asked (a file of /sys or /proc is missing or not understood)
  2   wrong arguments

It asks for the process that it is: run it where the program will run, in its container, with its
user, its limits and its NUMASLAB_* variables. Nothing is changed."
)]
struct Line {
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
    /// Write nothing; the exit code tells
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

fn main() -> ExitCode {
    match run(&Line::parse()) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("numaslab-doctor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(line: &Line) -> Result<u8> {
    let report = survey()?;
    let mut out = io::stdout().lock();
    if line.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else if !line.quiet {
        write!(out, "{}", Screen(&report))?;
    }
    out.flush()?;
    Ok(report.exit_code)
}
