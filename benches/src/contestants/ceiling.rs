//! The child that runs workloads on bare pointer stacks.

use std::process::ExitCode;

use numaslab_bench::ceiling::BareStack;

fn main() -> ExitCode {
    numaslab_bench::child::main::<BareStack>(|| "bare pointer stacks".to_owned(), || None)
}
