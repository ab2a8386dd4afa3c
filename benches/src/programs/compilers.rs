//! gcc on a large generated file: the object file is the proof.

use std::{fmt::Write, fs, path::Path};

use anyhow::Result;

use super::{
    program::{Act, Program},
    stage::Stage,
};

/// Functions in the file.
const FUNCTIONS: u32 = 80;

/// The programs.
pub fn programs() -> Vec<Program> {
    vec![Program { name: "gcc", what: "-O2 of 80 large functions", unit: "s", needs: &["gcc"], prepare, act }]
}

fn prepare(folder: &Path) -> Result<()> {
    let mut text = String::from(
        "#include <stdio.h>\n#include <string.h>\nstruct record { int key; double weight; char name[32]; struct record *next; };\n",
    );
    for number in 0..FUNCTIONS {
        let (a, b) = (number * 7 % 31 + 2, number * 13 % 17 + 3);
        write!(
            text,
            "static int table_{number}[{a}][{b}];\n\
             double work_{number}(struct record *list, int n) {{\n\
             \x20   double sum = 0;\n\
             \x20   for (int i = 0; i < n; i++)\n\
             \x20       for (struct record *at = list; at; at = at->next) {{\n\
             \x20           switch ((at->key + i) % {a}) {{\n"
        )?;
        for case in 0..a {
            let next = (case + 1) % a;
            writeln!(
                text,
                "            case {case}: sum += at->weight * {case}; table_{number}[{case}][i % {b}] += at->key; table_{number}[{next}][{b} - 1] ^= i; break;"
            )?;
        }
        let before = number.saturating_sub(1);
        let call = if number > 0 { format!("work_{before}(at, i % 3)") } else { "1".to_owned() };
        write!(
            text,
            "            }}\n\
             \x20           if (sum > {number}000.0 && !strncmp(at->name, \"name{number}\", 6)) sum -= {call};\n\
             \x20       }}\n\
             \x20   return sum;\n}}\n"
        )?;
    }
    Ok(fs::write(folder.join("large.c"), text)?)
}

fn act(stage: &Stage) -> Result<Act> {
    let mut gcc = stage.command("gcc");
    // Without a pipe between compiler and assembler the two are not at work at the same time.
    gcc.args(["-O2", "-c", "large.c", "-o", "large.o"]);
    let ran = stage.just_run(gcc)?;
    let proof = fs::read(stage.folder.join("large.o"))?;
    Ok(Act { proof, figure: ran.seconds, peak_kib: ran.peak_kib })
}
