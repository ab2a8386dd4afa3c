//! What is shown and kept of an experiment: a table, a JSON file and a picture.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::SystemTime,
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    allocator::Allocator,
    harness::{options::Options, rounds::Row},
    machine::Machine,
};

mod comparison;
mod csv;
mod picture;
mod table;
#[cfg(test)]
mod testing;

/// An experiment with everything a reader needs.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The experiment's name.
    pub experiment: String,
    /// When it ended, in UTC.
    pub date: String,
    /// The version of this program.
    pub program: String,
    /// Where it ran, as it was before the first run.
    pub machine: Machine,
    /// The version of everyone who took part.
    pub versions: BTreeMap<Allocator, String>,
    /// With whom the others are compared.
    pub baseline: Allocator,
    /// How many rounds.
    pub rounds: u32,
    /// The results.
    pub rows: Vec<Row>,
}

impl Report {
    /// A report on what was just measured.
    pub fn new(
        experiment: &str,
        options: &Options,
        machine: Machine,
        versions: BTreeMap<Allocator, String>,
        rows: Vec<Row>,
    ) -> Self {
        Self {
            experiment: experiment.to_owned(),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            program: format!("numaslab-bench {}", env!("CARGO_PKG_VERSION")),
            machine,
            versions,
            baseline: options.baseline,
            rounds: options.rounds,
            rows,
        }
    }

    /// Prints heading, table and failures, and writes `<experiment>.json`, `<experiment>.svg` and, if
    /// there are courses, `<experiment>.csv`.
    pub fn publish(&self, folder: &Path) -> Result<()> {
        println!("{}", self.heading());
        println!("{}", table::table(self));
        self.print_remarks();
        self.save(folder)
    }

    /// The same with the comparison of `all` as the table, which is also written as Markdown.
    pub fn publish_comparison(&self, folder: &Path) -> Result<()> {
        let table = comparison::markdown(self);
        println!("{}\n\n{table}", self.heading());
        self.print_remarks();
        self.save(folder)?;
        let markdown = folder.join(format!("{}.md", self.experiment));
        let text = format!("{}\n\n{table}", self.heading());
        fs::write(&markdown, text).with_context(|| format!("can't write {}", markdown.display()))?;
        println!("table:   {}", markdown.display());
        Ok(())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
        let json = folder.join(format!("{}.json", self.experiment));
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&json, text + "\n").with_context(|| format!("can't write {}", json.display()))?;
        let svg = folder.join(format!("{}.svg", self.experiment));
        picture::draw(self, &svg).with_context(|| format!("can't draw {}", svg.display()))?;
        println!("figures: {}", json.display());
        println!("picture: {}", svg.display());
        if let Some(text) = csv::courses(self) {
            let csv = folder.join(format!("{}.csv", self.experiment));
            fs::write(&csv, text).with_context(|| format!("can't write {}", csv.display()))?;
            println!("courses: {}", csv.display());
        }
        Ok(())
    }

    fn print_remarks(&self) {
        for (allocator, mode) in self.modes() {
            println!("{allocator}: {mode}");
        }
        self.failures().for_each(|failure| println!("{failure}"));
    }

    /// Every mode that an allocator reported.
    fn modes(&self) -> BTreeSet<(Allocator, &str)> {
        let results = self.rows.iter().flat_map(|row| &row.results);
        results.filter_map(|result| Some((result.allocator, result.mode.as_deref()?))).collect()
    }

    /// What was measured where, in a few lines.
    fn heading(&self) -> String {
        let versions: Vec<String> =
            self.versions.iter().map(|(who, version)| format!("{who} {version}")).collect();
        format!(
            "{}: medians of {} rounds, {}\n{}\n{}",
            self.experiment,
            self.rounds,
            self.date,
            self.machine.summary(),
            versions.join("; ")
        )
    }

    /// A line per allocator and case with failed runs.
    fn failures(&self) -> impl Iterator<Item = String> {
        self.rows.iter().flat_map(|row| {
            row.results.iter().filter(|result| !result.failures.is_empty()).map(|result| {
                let (count, first) = (result.failures.len(), &result.failures[0]);
                format!("FAILED {count} x {} at {}: {first}", result.allocator, row.label)
            })
        })
    }
}
