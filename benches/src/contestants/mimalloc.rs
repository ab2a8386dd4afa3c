//! The child that uses mimalloc 3, without its secure mode as a value.

#[path = "facts/mimalloc.rs"]
mod facts;

numaslab_bench::child!(mimalloc::MiMalloc = mimalloc::MiMalloc, facts::FACTS);
