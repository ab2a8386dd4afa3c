//! rayon on a machine with several nodes: one pool for each node, whose threads stay there, over data that
//! they have made themselves and so have near.
//!
//! ```text
//! cargo run --release -p numaslab-numa --features rayon --example rayon_nodes -- [NUMBERS]
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use numaslab::NumaSlab;
use numaslab::placement::{KernelNode, node_of};
use numaslab_numa::hooks::rayon_pool;
use numaslab_numa::{NodeId, Placement, Topology};
use rayon::ThreadPool;
use rayon::prelude::*;

#[global_allocator]
static GLOBAL: NumaSlab = NumaSlab::new();

/// How many numbers lie together.
const CHUNK: usize = 4096;

/// The part of the numbers that lies on one node.
type Part = Vec<Box<[u64]>>;

/// Runs `work` on all pools at the same time, each with its part; rayon's own `install` would wait for
/// one after the other.
fn on_all_nodes<In: Send, Out: Send>(
    pools: &BTreeMap<NodeId, ThreadPool>,
    parts: Vec<In>,
    work: impl Fn(NodeId, In) -> Out + Sync,
) -> Vec<Out> {
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = pools
            .iter()
            .zip(parts)
            .map(|((&node, pool), part)| scope.spawn(move || pool.install(|| work(node, part))))
            .collect();
        running.into_iter().map(|part| part.join().expect("no panic")).collect()
    })
}

/// How many chunks have their home on the node for which they were made.
fn at_home(node: NodeId, part: &Part) -> usize {
    let home = GLOBAL.nearest_node(KernelNode(node.0 as u16)).ok();
    part.iter().filter(|chunk| node_of(chunk.as_ptr().cast()) == home).count()
}

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(40_000_000), |word| word.parse())?;
    let topology = Topology::discover()?;
    let plan = Placement::Compact.plan(&topology)?;
    let pools = rayon_pool::per_node("sum", &plan)?;
    println!("{topology}");

    let begun = Instant::now();
    let chunks = count.div_ceil(CHUNK);
    let shares: Vec<_> =
        (0..pools.len()).map(|n| chunks * n / pools.len()..chunks * (n + 1) / pools.len()).collect();
    // Each node's threads allocate and fill its part.
    let parts: Vec<Part> = on_all_nodes(&pools, shares, |_, share| {
        let chunk = |n: usize| ((n * CHUNK) as u64..(count.min((n + 1) * CHUNK)) as u64).collect();
        share.into_par_iter().map(chunk).collect()
    });
    let filled = begun.elapsed();
    let sums = on_all_nodes(&pools, parts.iter().collect(), |_, part: &Part| {
        part.par_iter().map(|chunk| chunk.iter().sum::<u64>()).sum::<u64>()
    });
    let summed = begun.elapsed() - filled;
    println!(
        "sum {} of {count} numbers: filled in {filled:.1?}, summed in {summed:.1?}",
        sums.iter().sum::<u64>()
    );
    for ((node, pool), part) in pools.iter().zip(&parts) {
        let (threads, home) = (pool.current_num_threads(), at_home(*node, part));
        println!("{node}: {threads} threads, {} chunks, {home} at home", part.len());
    }
    Ok(())
}
