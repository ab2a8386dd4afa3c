//! The bench program. It links no allocator on trial: those are in the children (`contestants/`).

use std::process::ExitCode;

fn main() -> ExitCode {
    numaslab_bench::cli::main()
}
