//! The child that runs workloads on bare pointer stacks.

use std::process::ExitCode;

use numaslab_bench::{ceiling::BareStack, child};

fn main() -> ExitCode {
    child::main::<BareStack>(child::Facts { version: || "bare stacks".to_owned(), mode: || None })
}
