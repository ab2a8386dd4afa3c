//! Real programs with allocators under them, see [`numaslab_bench::programs`].

use std::process::ExitCode;

fn main() -> ExitCode {
    numaslab_bench::programs::show::main()
}
