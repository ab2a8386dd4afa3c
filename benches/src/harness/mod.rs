//! The parent's side: options, building and starting children, rounds.

pub mod build;
pub mod launch;
pub mod options;
pub mod rounds;
pub mod trace;
