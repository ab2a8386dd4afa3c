//! The child that uses numaslab as a value.

#[path = "facts/numaslab.rs"]
mod facts;

numaslab_bench::child!(numaslab::NumaSlab = numaslab::NumaSlab::new(), facts::FACTS, |address| {
    let heap = numaslab::NumaSlab::new();
    let node = numaslab::placement::node_of(std::ptr::without_provenance(address))?;
    heap.kernel_node(node).ok().map(|node| u32::from(node.0))
});
