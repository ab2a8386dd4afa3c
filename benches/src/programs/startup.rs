//! Programs that do next to nothing, and one that does nothing but allocate.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use super::{
    program::{Act, Program},
    stage::{Look, Stage},
};

/// Runs whose mean is a figure.
const TIMES: u32 = 100;

/// The programs.
pub fn programs() -> Vec<Program> {
    vec![
        Program {
            name: "true",
            what: "starts and ends",
            unit: "ms",
            needs: &["/bin/true"],
            prepare: |_| Ok(()),
            act: |stage| many(stage, &["/bin/true"]),
        },
        Program {
            name: "ls",
            what: "a folder of 14 entries",
            unit: "ms",
            needs: &["/bin/ls"],
            prepare: fourteen_entries,
            act: |stage| many(stage, &["/bin/ls", "--color=never"]),
        },
        Program {
            name: "pair",
            what: "malloc(64) and free, in turns",
            unit: "ns",
            needs: &["gcc"],
            prepare: compile_pair,
            act: |stage| {
                let ran = stage.just_run(stage.command("./pair"))?;
                let text = String::from_utf8(ran.stdout).context("a number")?;
                Ok(Act { proof: Vec::new(), figure: text.trim().parse()?, peak_kib: ran.peak_kib })
            },
        },
    ]
}

/// Many runs of a short command.
fn many(stage: &Stage, line: &[&str]) -> Result<Act> {
    let times = if stage.look == Look::Time { TIMES } else { 1 };
    let mut act = Act { proof: Vec::new(), figure: 0.0, peak_kib: None };
    for _ in 0..times {
        let mut command = stage.command(line[0]);
        command.args(&line[1..]);
        let ran = stage.just_run(command)?;
        act.figure += ran.seconds * 1000.0 / f64::from(times);
        act.proof = ran.stdout;
        act.peak_kib = ran.peak_kib;
    }
    Ok(act)
}

fn fourteen_entries(folder: &Path) -> Result<()> {
    (0..14).try_for_each(|number| Ok(fs::write(folder.join(format!("file-{number}")), "")?))
}

const PAIR: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}
int main(void) {
    double best = 1e9;
    for (int round = 0; round < 15; round++) {
        double begun = now();
        for (int i = 0; i < 4000000; i++) {
            void *block = malloc(64);
            __asm__ volatile("" : "+r"(block) : : "memory");
            free(block);
        }
        double each = (now() - begun) / 4000000;
        if (each < best) best = each;
    }
    printf("%.3f\n", best);
    return 0;
}
"#;

fn compile_pair(folder: &Path) -> Result<()> {
    fs::write(folder.join("pair.c"), PAIR)?;
    let compiled = Command::new("gcc")
        .current_dir(folder)
        .args(["-O2", "-fno-builtin", "-o", "pair", "pair.c"])
        .status()?;
    if !compiled.success() {
        bail!("gcc can't compile it");
    }
    Ok(())
}
