//! Real programs with `libnumaslab.so` under them do what they do without it, in both modes.
//!
//! `PROGRAM_RUNS` says how often each is run (once if it is not set). A program whose commands are not
//! installed is skipped, aloud.

use std::io::Write;

use numaslab_bench::programs::{
    Library, Look,
    show::{Folder, check, expected},
};

fn runs() -> u32 {
    std::env::var("PROGRAM_RUNS").map_or(1, |runs| runs.parse().expect("a number of runs"))
}

/// The program `name`, in both modes.
fn same_as_without(name: &str) {
    let program = numaslab_bench::programs::all().into_iter().find(|program| program.name == name);
    let program = program.expect("a program's name");
    if let Some(missing) = program.misses() {
        // Not swallowed by the test harness.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: there is no {missing}");
        return;
    }
    let folder = Folder::new(&program).expect("a folder for the program");
    let proof = expected(&program, &folder).expect("the program runs with glibc");
    for library in [Library::Numaslab, Library::NumaslabPerThread] {
        let file = library.find().expect("the library can be built").expect("and is there");
        for run in 0..runs() {
            let stage = folder.stage(library, file.clone(), Look::Time);
            if let Err(error) = check(&program, &stage, &proof) {
                panic!("{name} with {library}, run {run}: {error:#}");
            }
        }
    }
}

macro_rules! programs {
    ($($test:ident: $name:literal;)+) => {
        $(
            #[test]
            fn $test() {
                same_as_without($name);
            }
        )+

        #[test]
        fn every_program_is_tested() {
            let tested = [$($name),+];
            assert!(numaslab_bench::programs::all().iter().all(|program| tested.contains(&program.name)));
        }
    };
}

programs! {
    true_ends: "true";
    ls_lists: "ls";
    pairs_are_made: "pair";
    redis_has_the_same_data: "redis";
    gcc_makes_the_same_object_file: "gcc";
    python_passes_its_own_tests: "python";
    python_makes_the_same_json: "python-malloc";
    sqlite_gives_the_same_answers: "sqlite3";
    git_makes_the_same_repository: "git";
    perl_prints_the_same: "perl";
    node_prints_the_same: "node";
    sort_sorts_the_same: "sort";
}
