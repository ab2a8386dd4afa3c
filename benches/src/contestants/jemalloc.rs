//! The child that uses jemalloc as a value.

#[path = "facts/jemalloc.rs"]
mod facts;

numaslab_bench::child!(tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc, facts::FACTS);
