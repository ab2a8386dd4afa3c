//! The child that uses numaslab as a value.

#[path = "facts/numaslab.rs"]
mod facts;

numaslab_bench::child!(
    numaslab::NumaSlab = numaslab::NumaSlab::new(),
    facts::FACTS,
    |address| {
        let heap = numaslab::NumaSlab::new();
        let node = numaslab::placement::node_of(std::ptr::without_provenance(address))?;
        heap.kernel_node(node).ok().map(|node| u32::from(node.0))
    },
    || Some(system_calls())
);

/// All calls but those of the C library's that do not enter the kernel.
fn system_calls() -> u64 {
    use numaslab::telemetry::Call;
    let calls = numaslab::stats().calls;
    let in_process = [Call::GetCpu, Call::Clock, Call::KeyCreate, Call::KeySet];
    calls.total() - in_process.into_iter().map(|call| calls.of(call)).sum::<u64>()
}
