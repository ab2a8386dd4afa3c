//! Real programs with another allocator under them, by `LD_PRELOAD`: whether they do the same, how long they
//! take, and the most memory they have.
//!
//! | file | what |
//! | --- | --- |
//! | [`library`] | the allocators as libraries: numaslab's in both modes, glibc's, and what Debian packages |
//! | [`stage`] | a run of a command: time, CPU time, peak of memory, output |
//! | [`program`] | a program: what it needs, how it is prepared, what it does |
//! | [`scripts`], [`compilers`], [`redis`], [`startup`] | the programs |
//! | [`show`] | rounds of all programs with all libraries, and the table |
//!
//! Each run of a program yields a proof: bytes that must be the same whatever allocator is under it (what it
//! printed, an object file, a digest of a database). Whoever yields another proof than glibc has failed.

pub mod compilers;
pub mod library;
pub mod program;
pub mod redis;
pub mod scripts;
pub mod show;
pub mod stage;
pub mod startup;

pub use library::Library;
pub use program::Program;
pub use stage::{Look, Stage};

/// All programs, in the order of tables.
pub fn all() -> Vec<Program> {
    let groups = [startup::programs(), redis::programs(), compilers::programs(), scripts::programs()];
    groups.into_iter().flatten().collect()
}
