//! tokio on a machine with several nodes: one runtime for each node, whose workers stay there. On each an
//! actor keeps a part of the counters; clients on all nodes send each request to the actor whose part it is.
//!
//! ```text
//! cargo run --release -p numaslab-numa --features tokio --example tokio_nodes -- [CLIENTS PER NODE] [REQUESTS EACH]
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::time::Instant;

use numaslab::NumaSlab;
use numaslab_numa::hooks::tokio_runtime;
use numaslab_numa::{Placement, Topology};
use tokio::sync::{mpsc, oneshot};

#[global_allocator]
static GLOBAL: NumaSlab = NumaSlab::new();

/// Requests that may wait for an actor.
const QUEUE: usize = 1024;
/// How many counters there are.
const COUNTERS: usize = 10_000;

/// Asks to count a name up; the answer is what it has come to.
struct Request {
    name: String,
    answer: oneshot::Sender<u64>,
}

/// Keeps its part of the counters until nobody can ask any more; returns how many requests came.
async fn keep(mut requests: mpsc::Receiver<Request>) -> u64 {
    let mut counters: HashMap<String, u64> = HashMap::new();
    let mut served = 0;
    while let Some(Request { name, answer }) = requests.recv().await {
        let counter = counters.entry(name).or_default();
        *counter += 1;
        served += 1;
        // A client that has gone away is no reason to stop.
        let _ = answer.send(*counter);
    }
    served
}

/// Sends requests, each to the actor whose part its counter is; returns how many were answered.
async fn ask(client: usize, count: usize, actors: Vec<mpsc::Sender<Request>>) -> u64 {
    let mut answered = 0;
    for n in 0..count {
        let counter = (client * 7919 + n * 31) % COUNTERS;
        let (answer, result) = oneshot::channel();
        let request = Request { name: format!("counter {counter}"), answer };
        if actors[counter % actors.len()].send(request).await.is_ok() && result.await.is_ok_and(|n| n > 0) {
            answered += 1;
        }
    }
    answered
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let clients = numbers.next().unwrap_or(Ok(16))?;
    let count = numbers.next().unwrap_or(Ok(20_000))?;
    let topology = Topology::discover()?;
    println!("{topology}");
    let runtimes = tokio_runtime::per_node("count", &Placement::Compact.plan(&topology)?)?;

    let begun = Instant::now();
    let (mut actors, mut keeping) = (Vec::new(), Vec::new());
    for runtime in runtimes.values() {
        let (actor, requests) = mpsc::channel(QUEUE);
        actors.push(actor);
        keeping.push(runtime.spawn(keep(requests)));
    }
    let asking: Vec<_> = runtimes
        .values()
        .enumerate()
        .flat_map(|(at, runtime)| (0..clients).map(move |client| (runtime, at * clients + client)))
        .map(|(runtime, client)| runtime.spawn(ask(client, count, actors.clone())))
        .collect();
    drop(actors);
    let first = runtimes.values().next().ok_or("no runtime")?;
    let (mut answered, mut served) = (0, Vec::new());
    first.block_on(async {
        for client in asking {
            answered += client.await?;
        }
        for actor in keeping {
            served.push(actor.await?);
        }
        Ok::<(), tokio::task::JoinError>(())
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{answered} requests answered, {:.0} a second", answered as f64 / seconds);
    for ((node, runtime), served) in runtimes.iter().zip(served) {
        println!("{node}: {} workers served {served}", runtime.metrics().num_workers());
    }
    Ok(())
}
