//! On a machine with several nodes: pages of the kernel's reserved pool, of which the nodes have unequal
//! numbers, come from the node of the thread that asks, or not at all.

mod support;

use numaslab::config::{Config, HugeMode, NumaMode};
use numaslab::os::fault::{self, Call};
use numaslab::telemetry::{Purpose, residence};
use numaslab::{NumaSlab, stats, trim};
use std::alloc::Layout;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::block::Block;
use support::child;
use support::mode::start;
use support::nodes::{self, Node, Tally};
use support::reserved::{self, Pool, Taken};
use support::threads::{pin, run};

const MIB: usize = 1 << 20;
/// What one thread on each node asks for.
const LOAD: usize = 20 * MIB;
/// Free pages of the first, the second, the third node and so on.
const PAGES: [usize; 4] = [16, 5, 0, 2];

const fn heap(numa: NumaMode) -> NumaSlab {
    NumaSlab::with_config(Config::new().with_huge(HugeMode::Reserved).with_numa(numa))
}

/// The nodes that have CPUs, each with the pages that it gets.
fn unequal() -> Option<(Vec<Node>, Pool)> {
    let nodes = nodes::several()?;
    let pages = |(at, node): (usize, &Node)| (node.number, PAGES[at % PAGES.len()]);
    let pool = Pool::with(&nodes.iter().enumerate().map(pages).collect::<Vec<_>>())?;
    Some((nodes, pool))
}

/// One thread on each node that has CPUs takes its load, touches it, and finds its pages at home.
fn load_each(heap: &NumaSlab, nodes: &[Node]) -> Vec<Vec<Block>> {
    let with_cpus: Vec<&Node> = nodes.iter().filter(|node| !node.cpus.is_empty()).collect();
    run(with_cpus.len(), |number| {
        let node = with_cpus[number];
        pin(&node.cpus[..1]);
        let mut tally = Tally::default();
        let blocks: Vec<Block> = [1000, 20_000, 300_000]
            .into_iter()
            .flat_map(|size| {
                let layout = Layout::from_size_align(size, 8).expect("a layout");
                (0..LOAD / 3 / size).map(move |n| Block::new(heap, layout, n as u64).expect("memory"))
            })
            .collect();
        // Of each block the first page.
        blocks.iter().for_each(|block| tally.add(block.address(), 1, node.number));
        assert!(tally.share() > 0.99, "node {}: {tally:?}\n{}", node.number, stats());
        blocks
    })
}

#[test]
fn pages_come_from_the_own_node_as_far_as_it_has_any() {
    let Some((nodes, _pool)) = unequal() else { return };
    for (mode, key) in
        [(NumaMode::Preferred, "preferred"), (NumaMode::Bind, "bind"), (NumaMode::FirstTouch, "first-touch")]
    {
        child::succeed(
            key,
            |_| {},
            || {
                let heap = heap(mode);
                start(&heap);
                let before: Vec<usize> = nodes.iter().map(|node| reserved::free(node.number)).collect();
                let blocks = load_each(&heap, &nodes);
                let stats = stats();
                let mut used = Vec::new();
                for (at, node) in nodes.iter().enumerate().filter(|(_, node)| !node.cpus.is_empty()) {
                    let (has, taken) = (PAGES[at % PAGES.len()], stats.node[at].superslabs_reserved as usize);
                    assert_eq!(has - reserved::free(node.number), taken, "node {at}\n{stats}");
                    // A node uses what it has, but for a chunk that it found too small.
                    let wanted = has.min(LOAD / reserved::PAGE);
                    assert!(taken <= has && taken + 4 > wanted, "node {at}: {taken} of {has}\n{stats}");
                    assert_eq!(
                        stats.node[at].huge_fail > 0,
                        has < LOAD / reserved::PAGE,
                        "node {at}\n{stats}"
                    );
                    used.push(taken);
                }
                if mode != NumaMode::FirstTouch {
                    let away = residence().expect("move_pages").of(Purpose::Blocks).away;
                    assert_eq!(away, 0, "pages away\n{stats}");
                }
                child::measured(format_args!("pages used on each node: {used:?}"));
                blocks.into_iter().flatten().for_each(|block| block.free(&heap));
                trim();
                let after: Vec<usize> = nodes.iter().map(|node| reserved::free(node.number)).collect();
                assert!(
                    after.iter().zip(&before).all(|(after, before)| after >= before),
                    "{after:?} {before:?}"
                );
                assert_eq!(reserved::promised(), 0);
            },
        );
    }
}

#[test]
fn ordinary_memory_at_home_comes_before_pages_of_another_node() {
    /// The node whose pages another takes at the last moment.
    static DRY: AtomicUsize = AtomicUsize::new(0);
    static ONE: Mutex<()> = Mutex::new(());
    fn another(call: Call) {
        let _one = ONE.lock().expect("no panic");
        let node = DRY.load(Ordering::Relaxed) as u16;
        if call == Call::MmapHuge && reserved::free(node) > 0 {
            std::mem::forget(Taken::take(reserved::free(node), Some(node)));
        }
    }
    let Some((nodes, _pool)) = unequal() else { return };
    child::succeed(
        "",
        |_| {},
        || {
            let heap = heap(NumaMode::Preferred);
            DRY.store(usize::from(nodes[0].number), Ordering::Relaxed);
            fault::set_hook(another);
            start(&heap);
            let blocks = load_each(&heap, &nodes);
            let stats = stats();
            assert_eq!(stats.node[0].superslabs_reserved, 0, "{stats}");
            assert!(stats.node[0].huge_fail > 0, "{stats}");
            for (at, node) in nodes.iter().enumerate().skip(1) {
                let taken = stats.node[at].superslabs_reserved as usize;
                assert_eq!(
                    PAGES[at % PAGES.len()] - reserved::free(node.number),
                    taken,
                    "node {at}\n{stats}"
                );
            }
            blocks.into_iter().flatten().for_each(|block| block.free(&heap));
        },
    );
}

#[test]
fn with_interleaving_no_pages_are_taken() {
    let Some((nodes, _pool)) = unequal() else { return };
    child::succeed(
        "",
        |_| {},
        || {
            let heap = heap(NumaMode::Interleave);
            start(&heap);
            let layout = Layout::from_size_align(20_000, 8).expect("a layout");
            let blocks: Vec<Block> =
                (0..500).map(|n| Block::new(&heap, layout, n).expect("memory")).collect();
            assert_eq!(stats().sum(|node| node.huge_alloc + node.huge_fail), 0);
            let free: usize = nodes.iter().map(|node| reserved::free(node.number)).sum();
            assert_eq!(free, (0..nodes.len()).map(|at| PAGES[at % PAGES.len()]).sum());
            blocks.into_iter().for_each(|block| block.free(&heap));
        },
    );
}

#[test]
fn a_machine_taken_as_one_node_uses_the_pages_of_all() {
    let Some((nodes, _pool)) = unequal() else { return };
    child::succeed(
        "",
        |_| {},
        || {
            let heap = heap(NumaMode::Off);
            start(&heap);
            let layout = Layout::from_size_align(20_000, 8).expect("a layout");
            let blocks: Vec<Block> =
                (0..2500).map(|n| Block::new(&heap, layout, n).expect("memory")).collect();
            let all: usize = (0..nodes.len()).map(|at| PAGES[at % PAGES.len()]).sum();
            let free: usize = nodes.iter().map(|node| reserved::free(node.number)).sum();
            let taken = stats().sum(|node| node.superslabs_reserved) as usize;
            assert!(taken == all - free && taken + 4 > all.min(20), "{taken} of {all}\n{}", stats());
            blocks.into_iter().for_each(|block| block.free(&heap));
        },
    );
}
