//! On a machine with several nodes: a node without memory takes from the others, the nearest first, nobody is
//! killed where another node has memory, and what was taken goes home.

mod support;

use numaslab::config::{Config, Limit, NumaMode};
use numaslab::os::Errno;
use numaslab::os::fault::{self, Call};
use numaslab::os::topology::Topology;
use numaslab::placement::{KernelNode, NodeId, node_of};
use numaslab::telemetry::{PlacementMode, Purpose, Strays, residence, strays};
use numaslab::{NumaSlab, stats, trim};
use std::alloc::Layout;
use std::sync::{Mutex, MutexGuard, PoisonError};
use support::block::Block;
use support::child;
use support::mode::start;
use support::nodes::{self, Hog, Node};
use support::threads::{pin, run};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// All kinds of sizes.
const SIZES: [usize; 7] = [100, 1000, 5 * KIB, 30 * KIB, 200 * KIB, 900 * KIB, 3 * MIB];

static PREFERRED: NumaSlab = NumaSlab::new();
static STRICT: NumaSlab = NumaSlab::with_config(Config::new().with_numa(NumaMode::Bind));
const LIMIT: usize = 24 * MIB;
static LIMITED: NumaSlab = NumaSlab::with_config(Config::new().with_limit_hard(Limit::Bytes(LIMIT)));

/// While this lives no other test of this program fills nodes.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn block(heap: &NumaSlab, size: usize) -> Option<Block> {
    Block::new(heap, Layout::from_size_align(size, 8).expect("a layout"), size as u64)
}

/// Blocks of these sizes in turn, `bytes` bytes in all; fewer if there is no more memory.
fn blocks(heap: &NumaSlab, sizes: &[usize], bytes: usize) -> Vec<Block> {
    let (mut all, mut left) = (Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        let Some(rest) = left.checked_sub(*size) else { break };
        let Some(block) = block(heap, *size) else { break };
        all.push(block);
        left = rest;
    }
    all
}

fn home(block: &Block) -> NodeId {
    node_of(block.pointer()).expect("not in a mapping of its own")
}

/// The nodes, the last of which that has CPUs comes first: node 0 holds the kernel.
fn machine(heap: &NumaSlab) -> Option<(Node, Vec<Node>)> {
    let mut nodes = nodes::several()?;
    let last = nodes.iter().rposition(|node| !node.cpus.is_empty()).expect("CPUs");
    let own = nodes.remove(last);
    pin(&own.cpus);
    start(heap);
    Some((own, nodes))
}

/// The dense number of a node.
fn dense(node: &Node) -> NodeId {
    PREFERRED.node_numbered(KernelNode(node.number)).expect("a node with memory")
}

/// The dense nodes in the order of their distance from `node`, itself first.
fn neighbours(node: &Node) -> Vec<NodeId> {
    Topology::read().expect("memory").nearest(dense(node)).collect()
}

/// Gives everything back, and demands that it is all at home then.
fn goes_home(heap: &NumaSlab, blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(heap));
    assert_eq!(strays().settled, 0, "{}", stats());
    trim();
    assert_eq!(strays(), Strays::default(), "{}", stats());
    assert_eq!(stats().in_use_bytes(), 0, "{}", stats());
}

/// Memory left to a node whose memory is taken away: little, once the kernel has kept its reserve.
const LEFT: usize = 64 * MIB;

#[test]
fn a_full_node_takes_blocks_of_the_nearest_one_if_strict() {
    let _alone = alone();
    child::succeed(
        "strict",
        |_| {},
        || {
            let Some((own, _)) = machine(&STRICT) else { return };
            assert_eq!(stats().placement, PlacementMode::Bound);
            let hog = Hog::all_but(own.number, LEFT);
            let all = blocks(&STRICT, &SIZES, LEFT + 48 * MIB);
            let bytes: usize = all.iter().map(Block::size).sum();
            assert!(bytes >= LEFT + 44 * MIB, "only {bytes} bytes\n{}", stats());
            let near = neighbours(&own)[1];
            let stolen = all.iter().filter(|block| home(block) != dense(&own)).count();
            child::measured(format_args!("{stolen} of {} blocks from elsewhere", all.len()));
            assert!(stolen > 0 && stats().sum(|node| node.blocks_stolen) > 0, "{}", stats());
            for block in &all {
                assert!([dense(&own), near].contains(&home(block)), "{:?}\n{}", home(block), stats());
            }
            let pages = residence().expect("the kernel answers").of(Purpose::Blocks);
            assert_eq!(pages.away, 0, "{pages:?}\n{}", stats());
            goes_home(&STRICT, all);
            drop(hog);
            // The node has memory again.
            let all = blocks(&STRICT, &SIZES, LEFT);
            let own_bytes: usize =
                all.iter().filter(|block| home(block) == dense(&own)).map(Block::size).sum();
            assert!(own_bytes >= LEFT / 2, "{own_bytes} bytes\n{}", stats());
            goes_home(&STRICT, all);
        },
    );
}

#[test]
fn nobody_is_killed_for_a_full_node_by_default() {
    let _alone = alone();
    child::succeed(
        "preferred",
        |_| {},
        || {
            let Some((own, _)) = machine(&PREFERRED) else { return };
            let _hog = Hog::all_but(own.number, LEFT);
            let all = blocks(&PREFERRED, &SIZES, LEFT + 48 * MIB);
            let pages = residence().expect("the kernel answers").of(Purpose::Blocks);
            child::measured(format_args!("{pages:?}"));
            assert!(all.iter().all(|block| home(block) == dense(&own)), "{}", stats());
            goes_home(&PREFERRED, all);
        },
    );
}

/// Leaves free blocks on other nodes than `own`.
fn leave_blocks(heap: &NumaSlab, others: &[Node], sizes: &[usize], bytes: usize) {
    let cpus: Vec<usize> = others.iter().filter_map(|node| node.cpus.first().copied()).collect();
    run(cpus.len(), |number| {
        pin(&[cpus[number]]);
        let all = blocks(heap, sizes, bytes);
        all.into_iter().for_each(|block| block.free(heap));
    });
}

#[test]
fn where_the_kernel_refuses_blocks_come_from_the_others_in_order_of_distance() {
    let _alone = alone();
    child::succeed(
        "refused",
        |_| {},
        || {
            let Some((own, others)) = machine(&PREFERRED) else { return };
            if others.iter().all(|node| node.cpus.is_empty()) {
                return child::skip("only one node has CPUs");
            }
            let sizes = [20 * KIB];
            leave_blocks(&PREFERRED, &others, &sizes, 12 * MIB);
            fault::fail_all(Call::Mprotect, Errno::ENOMEM);
            let all = blocks(&PREFERRED, &sizes, 60 * MIB);
            fault::clear();
            // A node that has nothing left is passed over from then on; nearer ones come first.
            let order = neighbours(&own);
            let mut ranks: Vec<usize> =
                all.iter().filter_map(|block| order.iter().position(|node| *node == home(block))).collect();
            ranks.dedup();
            child::measured(format_args!("nodes by rank of distance: {ranks:?}"));
            let nearest = (1..order.len())
                .find(|rank| others.iter().any(|node| dense(node) == order[*rank] && !node.cpus.is_empty()))
                .expect("another node with CPUs");
            assert_eq!(ranks.iter().copied().find(|rank| *rank > 0), Some(nearest), "{ranks:?}");
            // When all are empty the caches are, too, and it begins anew.
            let in_order = |pair: &[usize]| pair[1] > pair[0] || pair[1] <= nearest;
            assert!(ranks.windows(2).all(in_order), "{ranks:?}\n{}", stats());
            assert!(stats().sum(|node| node.superslabs_refused) > 0);
            goes_home(&PREFERRED, all);
        },
    );
}

#[test]
fn at_the_limit_what_lies_free_on_other_nodes_is_used() {
    let _alone = alone();
    child::succeed(
        "limit",
        |_| {},
        || {
            let Some((_, others)) = machine(&LIMITED) else { return };
            let with_cpus: Vec<Node> =
                others.into_iter().filter(|node| !node.cpus.is_empty()).take(1).collect();
            if with_cpus.is_empty() {
                return child::skip("only one node has CPUs");
            }
            leave_blocks(&LIMITED, &with_cpus, &[30 * KIB], 16 * MIB);
            let before = stats();
            let all = blocks(&LIMITED, &[30 * KIB], 16 * MIB);
            let after = stats();
            assert!(all.len() * 30 * KIB >= 15 * MIB, "{}", after);
            assert!(after.mapped_bytes() <= LIMIT as u64);
            let stolen = after.sum(|node| node.blocks_stolen) - before.sum(|node| node.blocks_stolen);
            child::measured(format_args!("{stolen} of {} blocks from elsewhere", all.len()));
            assert!(stolen > 0, "{after}");
            goes_home(&LIMITED, all);
        },
    );
}
