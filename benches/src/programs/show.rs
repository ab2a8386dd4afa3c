//! Rounds of programs and libraries, and what comes of them: the table.

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode, time::SystemTime};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{Library, Look, Program, Stage, program::Act};
use crate::{machine::Machine, stats::Summary};

/// Runs real programs with numaslab and other allocators under them (LD_PRELOAD), and compares time and peak
/// of memory. Every run's output is checked.
#[derive(Debug, Parser)]
#[command(name = "numaslab-bench-programs", version)]
pub struct Line {
    /// Programs, for example gcc,redis [default: all whose commands are there]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    programs: Vec<String>,

    /// Allocators that take part [default: all that are installed]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    libraries: Vec<Library>,

    /// How often everything is repeated; medians are reported
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How often of these the peak of memory is looked at
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    memory_rounds: u32,

    /// Folder for programs.json and programs.md
    #[arg(long, value_name = "FOLDER", default_value = "bench-out")]
    output: PathBuf,
}

/// What one library did under one program.
#[derive(Debug, Serialize)]
struct Cell {
    library: Library,
    figure: Option<Summary>,
    peak_mib: Option<Summary>,
    failures: Vec<String>,
}

/// What all did under one program.
#[derive(Debug, Serialize)]
struct Row {
    program: &'static str,
    what: &'static str,
    unit: &'static str,
    cells: Vec<Cell>,
}

/// The file.
#[derive(Debug, Serialize)]
struct Document<'a> {
    date: String,
    machine: &'a Machine,
    rounds: u32,
    libraries: BTreeMap<Library, PathBuf>,
    rows: &'a [Row],
}

/// The whole program.
pub fn main() -> ExitCode {
    match show(&Line::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("numaslab-bench-programs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show(line: &Line) -> Result<()> {
    let libraries = present(&line.libraries)?;
    let machine = Machine::here();
    let mut rows = Vec::new();
    for program in chosen(&line.programs)? {
        if let Some(missing) = program.misses() {
            eprintln!("SKIPPED: {}: there is no {missing}", program.name);
            continue;
        }
        eprintln!("{} ...", program.name);
        rows.push(play(&program, &libraries, line)?);
    }
    let table = table(&rows).to_string();
    println!("{}\n{}\n\n{table}", heading(line), machine.summary());
    let failures: Vec<String> = rows.iter().flat_map(failures_of).collect();
    failures.iter().for_each(|failure| println!("{failure}"));
    fs::create_dir_all(&line.output).with_context(|| format!("can't make {}", line.output.display()))?;
    let document = Document {
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        machine: &machine,
        rounds: line.rounds,
        libraries: libraries.into_iter().collect(),
        rows: &rows,
    };
    fs::write(line.output.join("programs.json"), serde_json::to_string_pretty(&document)? + "\n")?;
    fs::write(line.output.join("programs.md"), format!("{}\n\n{table}\n", heading(line)))?;
    ensure!(failures.is_empty(), "{} programs misbehaved", failures.len());
    Ok(())
}

fn heading(line: &Line) -> String {
    format!("programs: medians of {} rounds, peaks of {}", line.rounds, line.memory_rounds)
}

fn chosen(names: &[String]) -> Result<Vec<Program>> {
    let all = super::all();
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|program| program.name == name).copied();
        found.with_context(|| format!("no program is called '{name}'"))
    };
    names.iter().map(find).collect()
}

/// The libraries that take part, each with its file. Those that are asked for must be there.
fn present(asked: &[Library]) -> Result<Vec<(Library, PathBuf)>> {
    let mut found = Vec::new();
    for library in Library::ALL.into_iter().filter(|library| asked.is_empty() || asked.contains(library)) {
        match library.find()? {
            Some(file) => found.push((library, file)),
            None if asked.contains(&library) => bail!("there is no {library}: install its package"),
            None => eprintln!("SKIPPED: {library}: it is not installed"),
        }
    }
    Ok(found)
}

/// A program with all libraries, in rounds; who goes first changes.
fn play(program: &Program, libraries: &[(Library, PathBuf)], line: &Line) -> Result<Row> {
    let mut acts: Vec<Vec<Result<Act>>> = libraries.iter().map(|_| Vec::new()).collect();
    let folder = Folder::new(program)?;
    let proof = expected(program, &folder)?;
    let looks = (0..line.rounds).map(|_| Look::Time).chain((0..line.memory_rounds).map(|_| Look::Memory));
    for (round, look) in looks.enumerate() {
        for turn in 0..libraries.len() {
            let at = (turn + round) % libraries.len();
            let (library, file) = &libraries[at];
            acts[at].push(check(program, &folder.stage(*library, file.clone(), look), &proof).map(|act| {
                match look {
                    Look::Time => Act { peak_kib: None, ..act },
                    Look::Memory => Act { figure: f64::NAN, ..act },
                }
            }));
        }
    }
    let cells = libraries.iter().zip(acts).map(|((library, _), acts)| cell(*library, acts)).collect();
    Ok(Row { program: program.name, what: program.what, unit: program.unit, cells })
}

fn cell(library: Library, acts: Vec<Result<Act>>) -> Cell {
    let done = || acts.iter().flatten();
    let figures = done().map(|act| act.figure).filter(|figure| !figure.is_nan()).collect();
    let peaks = done().filter_map(|act| act.peak_kib).map(|kib| kib as f64 / 1024.0).collect();
    Cell {
        library,
        figure: Summary::of(figures),
        peak_mib: Summary::of(peaks),
        failures: acts
            .iter()
            .filter_map(|act| act.as_ref().err())
            .map(|error| format!("{error:#}"))
            .collect(),
    }
}

/// What a program must yield: what it does with the C library's allocator.
///
/// # Errors
/// If it can't be run.
pub fn expected(program: &Program, folder: &Folder) -> Result<Vec<u8>> {
    let file = Library::Glibc.find()?.context("there is no C library")?;
    let act = (program.act)(&folder.stage(Library::Glibc, file, Look::Time));
    Ok(act.with_context(|| format!("{} with glibc", program.name))?.proof)
}

/// Runs a program once and checks its proof.
///
/// # Errors
/// If it does not succeed, or yields another proof.
pub fn check(program: &Program, stage: &Stage, proof: &[u8]) -> Result<Act> {
    let act = (program.act)(stage)?;
    ensure!(act.proof == proof, "{} with {}: other output than with glibc", program.name, stage.library);
    Ok(act)
}

/// A folder for a program, prepared; it goes with this value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A fresh one.
    ///
    /// # Errors
    /// If it can't be made or filled.
    pub fn new(program: &Program) -> Result<Self> {
        let name = format!("numaslab-programs-{}-{}", std::process::id(), program.name);
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).with_context(|| format!("can't make {}", path.display()))?;
        let folder = Self(path);
        (program.prepare)(&folder.0).with_context(|| format!("can't prepare {}", program.name))?;
        Ok(folder)
    }

    /// A run in it.
    pub fn stage(&self, library: Library, file: PathBuf, look: Look) -> Stage {
        Stage { folder: self.0.clone(), library, file, look }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed stays in the folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn failures_of(row: &Row) -> Vec<String> {
    let failed = row.cells.iter().filter(|cell| !cell.failures.is_empty());
    failed
        .map(|cell| {
            let (count, first) = (cell.failures.len(), &cell.failures[0]);
            format!("FAILED {count} x {} at {}: {first}", cell.library, row.program)
        })
        .collect()
}

/// A line per program and library. Ratios are to the best of the others: above 1 is better.
fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["program", "allocator", "time", "min..max", "x best peer", "peak MiB", "x best peer"]);
    for row in rows {
        for (at, cell) in row.cells.iter().enumerate() {
            let label = if at == 0 { row.program } else { "" };
            let time = |cell: &Cell| cell.figure.as_ref().map(|figure| figure.median);
            let peak = |cell: &Cell| cell.peak_mib.as_ref().map(|peak| peak.median);
            let show = |value: Option<f64>, unit: &str| {
                value.map_or("-".into(), |value| format!("{value:.2}{unit}"))
            };
            let unit = format!(" {}", row.unit);
            let spread =
                cell.figure.as_ref().map_or("-".into(), |of| format!("{:.2}..{:.2}", of.min, of.max));
            table.add_row([
                label.to_owned(),
                cell.library.to_string(),
                show(time(cell), &unit),
                spread,
                show(ratio(row, cell, time), ""),
                show(peak(cell), ""),
                show(ratio(row, cell, peak), ""),
            ]);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// How many times better than the best of the peers, itself left out.
fn ratio(row: &Row, cell: &Cell, value: impl Fn(&Cell) -> Option<f64>) -> Option<f64> {
    let peers = row.cells.iter().filter(|other| other.library.is_peer() && other.library != cell.library);
    let best = peers.filter_map(&value).min_by(f64::total_cmp)?;
    Some(best / value(cell)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn cell_of(library: Library, figure: f64) -> Cell {
        Cell { library, figure: Summary::of(vec![figure]), peak_mib: None, failures: Vec::new() }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
        assert!(chosen(&["gcc".to_owned()]).is_ok() && chosen(&["gc".to_owned()]).is_err());
    }

    #[test]
    fn everyone_is_compared_with_the_best_of_the_others() {
        let cells = vec![
            cell_of(Library::Numaslab, 2.0),
            cell_of(Library::NumaslabPerThread, 1.0),
            cell_of(Library::Glibc, 4.0),
            cell_of(Library::Mimalloc, 3.0),
        ];
        let row = Row { program: "p", what: "", unit: "s", cells };
        let ratios: Vec<f64> = row
            .cells
            .iter()
            .map(|cell| ratio(&row, cell, |cell| cell.figure.as_ref().map(|figure| figure.median)).unwrap())
            .collect();
        assert_eq!(ratios, [1.5, 3.0, 0.75, 4.0 / 3.0]);
    }

    #[test]
    fn programs_have_names_of_their_own() {
        let mut names: Vec<&str> = crate::programs::all().iter().map(|program| program.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), count), (count, names.len()));
    }
}
