//! Worker pools: where jobs run, what comes back, and how a pool ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use numaslab_numa::{CpuSet, Error, NodeId, Placement, Topology, WorkerPool};

use crate::kernel;

fn one_worker() -> (WorkerPool, NodeId) {
    let pool = WorkerPool::builder().workers(1).build().unwrap();
    let node = pool.nodes().first().unwrap();
    (pool, node)
}

#[test]
fn jobs_run_on_the_chosen_node() {
    let pool = WorkerPool::builder().placement(Placement::PerNode(2)).build().unwrap();
    for node in pool.nodes().iter() {
        let cpus = pool.topology().usable_cpus(node).unwrap();
        for _ in 0..8 {
            let (mask, cpu) = pool.run_on(node, || (kernel::mask(), kernel::cpu())).unwrap().wait();
            assert_eq!(mask, cpus);
            assert!(cpus.contains(cpu));
        }
    }
}

#[test]
fn workers_are_pinned_as_planned() {
    let masks = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&masks);
    let pool = WorkerPool::builder()
        .placement(Placement::Compact)
        .on_start(move |worker| seen.lock().unwrap().push((worker.clone(), kernel::mask())))
        .build()
        .unwrap();
    let masks = masks.lock().unwrap();
    assert_eq!(masks.len(), pool.plan().workers());
    for (place, (worker, mask)) in masks.iter().enumerate() {
        assert_eq!((place, &worker.cpus), (worker.index, mask));
        assert_eq!(pool.plan().slots()[place].cpus, *mask);
    }
    assert!(pool.workers().zip(masks.iter()).all(|(info, (seen, _))| info == seen));
}

#[test]
fn workers_are_named_by_prefix_node_and_number() {
    let pool = WorkerPool::builder().thread_name_prefix("shard").workers(1).build().unwrap();
    let node = pool.nodes().first().unwrap();
    let name = pool.run_on(node, || thread::current().name().map(str::to_owned)).unwrap().wait();
    assert_eq!(name, Some(format!("shard-{}.0", node.0)));
    let shown =
        pool.run_on(node, || std::fs::read_to_string("/proc/thread-self/comm").unwrap()).unwrap().wait();
    assert_eq!(shown.trim_end(), name.unwrap());
}

#[test]
fn the_stack_is_as_large_as_asked() {
    let pool = WorkerPool::builder().workers(1).stack_size(16 << 20).build().unwrap();
    let node = pool.nodes().first().unwrap();
    // More than the usual 2 MiB, in steps, so that it would run into the guard page.
    fn dig(left: usize) -> usize {
        let room = std::hint::black_box([left as u8; 64 << 10]);
        if left == 0 { usize::from(room[0]) } else { dig(left - 1) + usize::from(room[1] == left as u8) }
    }
    assert_eq!(pool.run_on(node, || dig(128)).unwrap().wait(), 128);
}

#[test]
fn one_worker_runs_jobs_in_order() {
    let (pool, node) = one_worker();
    let order = Arc::new(Mutex::new(Vec::new()));
    let jobs: Vec<_> = (0..100)
        .map(|n| {
            let order = Arc::clone(&order);
            pool.run_on(node, move || order.lock().unwrap().push(n)).unwrap()
        })
        .collect();
    jobs.into_iter().for_each(|job| job.wait());
    assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_panic_comes_back_and_the_worker_goes_on() {
    let (pool, node) = one_worker();
    let payload = pool.run_on(node, || panic!("on purpose")).unwrap().join().unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
    let job = pool.run_on(node, || std::panic::panic_any(7_u64)).unwrap();
    let passed_on = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.wait())).unwrap_err();
    assert_eq!(passed_on.downcast_ref(), Some(&7_u64));
    assert_eq!(pool.run_on(node, || 1).unwrap().wait(), 1);
}

#[test]
fn dropping_the_pool_runs_everything_that_is_queued() {
    let (pool, node) = one_worker();
    let (open, gate) = mpsc::channel::<()>();
    let ran = Arc::new(AtomicUsize::new(0));
    let (started, running) = mpsc::channel();
    let blocker = pool.run_on(node, move || started.send(()).is_ok() && gate.recv().is_ok()).unwrap();
    running.recv().unwrap();
    for _ in 0..50 {
        let ran = Arc::clone(&ran);
        // The handles are dropped: the jobs count all the same.
        drop(pool.run_on(node, move || ran.fetch_add(1, Ordering::Relaxed)).unwrap());
    }
    assert_eq!(pool.waiting(node), 50);
    open.send(()).unwrap();
    drop(pool);
    assert_eq!(ran.load(Ordering::Relaxed), 50);
    assert!(blocker.wait());
}

#[test]
fn joining_leaves_results_in_their_handles() {
    let (pool, node) = one_worker();
    let (good, bad) = (pool.run_on(node, || 5).unwrap(), pool.run_on(node, || panic!("on purpose")).unwrap());
    pool.join();
    assert_eq!(good.try_join().unwrap().unwrap(), 5);
    let outcome: thread::Result<()> = bad.join();
    assert!(outcome.is_err());
}

#[test]
fn a_job_that_is_not_done_gives_its_handle_back() {
    let (pool, node) = one_worker();
    let (open, gate) = mpsc::channel::<()>();
    let job = pool.run_on(node, move || gate.recv().is_ok()).unwrap();
    let job = job.try_join().unwrap_err();
    open.send(()).unwrap();
    assert!(job.wait());
}

#[test]
fn a_worker_may_drop_the_last_reference_to_its_pool() {
    let (pool, node) = one_worker();
    let pool = Arc::new(pool);
    let (done, ended) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let held = Arc::clone(&pool);
    drop(pool.run_on(node, move || {
        gate.recv().unwrap();
        drop(held);
        done.send(()).unwrap();
    }));
    drop(pool);
    open.send(()).unwrap();
    ended.recv_timeout(Duration::from_secs(60)).expect("the worker waits for itself");
}

#[test]
fn jobs_may_send_jobs() {
    let pool = Arc::new(WorkerPool::builder().placement(Placement::PerNode(1)).build().unwrap());
    let node = pool.nodes().first().unwrap();
    let inner = Arc::clone(&pool);
    let outer = pool.run_on(node, move || inner.run_on(node, || 3).unwrap()).unwrap();
    assert_eq!(outer.wait().wait(), 3);
}

#[test]
fn many_senders_lose_nothing() {
    let pool = WorkerPool::builder().build().unwrap();
    let nodes: Vec<_> = pool.nodes().iter().collect();
    let ran = AtomicUsize::new(0);
    thread::scope(|scope| {
        for sender in 0..8 {
            let (pool, node, ran) = (&pool, nodes[sender % nodes.len()], &ran);
            scope.spawn(move || {
                let jobs: Vec<_> = (0..200).map(|n| pool.run_on(node, move || n).unwrap()).collect();
                let sum: usize = jobs.into_iter().map(|job| job.wait()).sum();
                assert_eq!(sum, 199 * 200 / 2);
                ran.fetch_add(200, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(ran.into_inner(), 1600);
}

#[test]
fn a_node_without_workers_is_named() {
    let (pool, node) = one_worker();
    let error = pool.run_on(NodeId(999), || ()).unwrap_err();
    assert!(matches!(error, Error::NoWorkerOnNode { node: NodeId(999), .. }), "{error}");
    let text = format!("the pool has no worker on node 999 (it has workers on nodes {})", node.0);
    assert_eq!(error.to_string(), text);
    assert_eq!((pool.nearest(node), pool.nearest(NodeId(999))), (Some(node), None));
    assert_eq!(pool.waiting(NodeId(999)), 0);
}

#[test]
fn memory_without_cpus_is_served_from_near_by() {
    if kernel::rig().as_deref() != Some("memonly") {
        return;
    }
    let pool = WorkerPool::builder().placement(Placement::PerNode(1)).build().unwrap();
    assert_eq!(pool.nodes(), "0-1".parse().unwrap());
    assert_eq!(pool.nearest(NodeId(2)), Some(NodeId(0)));
}

#[test]
fn a_pool_that_cannot_start_ends_what_it_started() {
    let error = WorkerPool::builder().workers(1).stack_size(usize::MAX / 2).build().unwrap_err();
    assert!(matches!(&error, Error::Spawn { name, .. } if name.starts_with("numaslab-")), "{error}");
    let last = Topology::discover().unwrap().parallelism() - 1;
    let hook = move |worker: &numaslab_numa::pool::WorkerInfo| assert!(worker.index < last, "on purpose");
    let error = WorkerPool::builder().thread_name_prefix("doomed").on_start(hook).build().unwrap_err();
    assert!(error.to_string().starts_with("cannot start worker 'doomed-"), "{error}");
    // A joined thread may be listed for a moment longer.
    let gone = (0..1000).any(|_| {
        thread::sleep(Duration::from_millis(5));
        !thread_names().iter().any(|name| name.starts_with("doomed-"))
    });
    assert!(gone, "{:?}", thread_names());
}

/// The names of this process's threads, as the kernel knows them.
fn thread_names() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
}

#[test]
fn a_stale_topology_is_an_error_that_names_the_cpu() {
    // The same machine with more CPUs than it has.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sys/devices/system/cpu");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("online"), "1000-1001\n").unwrap();
    let stale = Topology::from_root(dir.path()).unwrap();
    assert_eq!(stale.allowed_cpus(), &"1000-1001".parse::<CpuSet>().unwrap());
    let error = WorkerPool::builder().topology(stale).placement(Placement::Compact).build().unwrap_err();
    assert!(error.to_string().starts_with("CPU 1000 is not online"), "{error}");
}
