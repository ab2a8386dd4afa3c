//! The child that uses snmalloc as a value.

#[path = "facts/snmalloc.rs"]
mod facts;

numaslab_bench::child!(snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc, facts::FACTS);
