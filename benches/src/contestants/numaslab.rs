//! The child that uses numaslab as a value.

#[path = "facts/numaslab.rs"]
mod facts;

numaslab_bench::child!(numaslab::NumaSlab = numaslab::NumaSlab::new(), facts::FACTS);
