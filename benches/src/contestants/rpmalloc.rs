//! The child that uses rpmalloc as a value.

#[path = "facts/rpmalloc.rs"]
mod facts;

numaslab_bench::child!(rpmalloc::RpMalloc = rpmalloc::RpMalloc, facts::FACTS);
