//! A key-value server on loopback whose data stay where they are used: each shard of the store lies on a
//! NUMA node, and the workers of that node answer all requests for it.
//!
//! ```text
//! client -> connection's thread: key -> shard -> node -> queue of the node's pinned workers
//!        <-          the answer, in the order of the requests       <- shard, on their node
//! ```
//!
//! ```text
//! cargo run --release --example numa_server -- [CLIENTS] [REQUESTS EACH]
//! ```
//!
//! The protocol is lines: `set KEY VALUE`, `get KEY`, `del KEY`; answers are `ok`, `none` or
//! `value VALUE`. Clients send many requests at a time and check every answer. At the end the server
//! tells what each node did, and on which node the kernel says that its values lie.

use allocator_api2::vec::Vec as NodeVec;
use hashbrown::{DefaultHashBuilder, HashMap};
use numaslab::NumaSlab;
use numaslab::os::policy::node_of_page;
use numaslab::placement::{KernelNode, NodeAlloc, node_of};
use numaslab_numa::pool::JobHandle;
use numaslab_numa::{NodeId, WorkerPool};
use std::borrow::Borrow;
use std::collections::HashMap as ClientMap;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

#[global_allocator]
static GLOBAL: NumaSlab = NumaSlab::new();

/// Shards on each node: more than workers, so that they seldom meet.
const SHARDS_PER_NODE: usize = 16;
/// Requests that a client sends before it reads the answers.
const PIPELINE: usize = 32;

/// Bytes on the node of their shard.
type Bytes = NodeVec<u8, NodeAlloc>;

/// A key, which is found by its text.
#[derive(PartialEq, Eq, Hash)]
struct Key(Bytes);

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// A part of the store: its table, keys and values all lie on one node.
struct Shard {
    node: NodeId,
    memory: NodeAlloc,
    entries: Mutex<HashMap<Key, Bytes, DefaultHashBuilder, NodeAlloc>>,
    answered: AtomicU64,
}

impl Shard {
    /// An empty shard on `node`, or on the nearest one that has memory.
    fn new(node: NodeId) -> Result<Self, numaslab::placement::PlacementError> {
        let memory = GLOBAL.on(GLOBAL.nearest_node(KernelNode(node.0 as u16))?)?;
        let entries = Mutex::new(HashMap::with_hasher_in(DefaultHashBuilder::default(), memory));
        Ok(Self { node, memory, entries, answered: AtomicU64::new(0) })
    }

    fn bytes(&self, text: &str) -> Bytes {
        let mut bytes = NodeVec::with_capacity_in(text.len(), self.memory);
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    /// The answer to one request.
    fn answer(&self, request: &str) -> String {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.entries.lock().unwrap();
        let mut words = request.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("set"), Some(key), Some(value)) => {
                entries.insert(Key(self.bytes(key)), self.bytes(value));
                "ok".to_owned()
            }
            (Some("get"), Some(key), None) => match entries.get(key.as_bytes()) {
                Some(value) => format!("value {}", String::from_utf8_lossy(value)),
                None => "none".to_owned(),
            },
            (Some("del"), Some(key), None) => match entries.remove(key.as_bytes()) {
                Some(_) => "ok".to_owned(),
                None => "none".to_owned(),
            },
            _ => format!("error: what is {request:?}?"),
        }
    }
}

/// The shards, and the workers that serve them.
struct Server {
    shards: Vec<Arc<Shard>>,
    pool: WorkerPool,
}

impl Server {
    fn start() -> Result<Self, Box<dyn Error>> {
        let pool = WorkerPool::builder().thread_name_prefix("kv").build()?;
        let mut shards = Vec::new();
        for node in (0..SHARDS_PER_NODE).flat_map(|_| pool.nodes().iter().collect::<Vec<_>>()) {
            // Made by a worker of the node, so that what the global allocator gives is there too.
            shards.push(pool.run_on(node, move || Shard::new(node).map(Arc::new))?.wait()?);
        }
        Ok(Self { shards, pool })
    }

    /// Sends a request to the node of its key's shard.
    fn steer(&self, request: String) -> io::Result<JobHandle<String>> {
        let mut hasher = DefaultHasher::new();
        request.split(' ').nth(1).hash(&mut hasher);
        let shard = Arc::clone(&self.shards[hasher.finish() as usize % self.shards.len()]);
        self.pool.run_on(shard.node, move || shard.answer(&request)).map_err(io::Error::other)
    }

    /// Serves a connection until the client closes it: takes what has come, steers it, answers it in order.
    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let (mut requests, mut answers) = (BufReader::new(connection), BufWriter::new(connection));
        let mut waiting = Vec::new();
        loop {
            let mut line = String::new();
            let is_end = requests.read_line(&mut line)? == 0;
            if !is_end {
                line.truncate(line.trim_end().len());
                waiting.push(self.steer(line)?);
            }
            if is_end || !requests.buffer().contains(&b'\n') {
                for answer in waiting.drain(..) {
                    writeln!(answers, "{}", answer.wait())?;
                }
                answers.flush()?;
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// Prints what each node did, and where its values lie.
    fn report(&self) {
        println!(
            "{:>6} {:>8} {:>10} {:>8} {:>8} {:>14}",
            "node", "shards", "requests", "values", "at home", "pages on node"
        );
        for node in self.pool.nodes().iter() {
            let (mut shards, mut requests, mut values, mut at_home, mut pages) = (0, 0, 0, 0, 0);
            for shard in self.shards.iter().filter(|shard| shard.node == node) {
                let entries = shard.entries.lock().unwrap();
                let home = shard.memory.node();
                let kernel = GLOBAL.kernel_node(home).ok();
                shards += 1;
                requests += shard.answered.load(Ordering::Relaxed);
                values += entries.len();
                at_home += entries.values().filter(|value| node_of(value.as_ptr()) == Some(home)).count();
                pages += entries.values().filter(|value| node_of_page(value.as_ptr()).ok() == kernel).count();
            }
            println!("{:>6} {shards:>8} {requests:>10} {values:>8} {at_home:>8} {pages:>14}", node.0);
        }
    }
}

/// One client's requests, each with the answer that it must get.
struct Script {
    client: usize,
    known: ClientMap<String, String>,
}

impl Script {
    fn step(&mut self, n: usize) -> (String, String) {
        let key = format!("client{}.key{}", self.client, n * 7 % 500);
        match n % 8 {
            0..4 => {
                let value = "x".repeat(1 + n * 37 % 1000);
                self.known.insert(key.clone(), value.clone());
                (format!("set {key} {value}"), "ok".to_owned())
            }
            4..7 => {
                let expected =
                    self.known.get(&key).map_or("none".to_owned(), |value| format!("value {value}"));
                (format!("get {key}"), expected)
            }
            _ => {
                let expected = self.known.remove(&key).map_or("none", |_| "ok");
                (format!("del {key}"), expected.to_owned())
            }
        }
    }
}

/// Sends `count` requests and checks every answer.
fn ask(server: SocketAddr, client: usize, count: usize) -> io::Result<usize> {
    let connection = TcpStream::connect(server)?;
    connection.set_nodelay(true)?;
    let (mut answers, mut requests) = (BufReader::new(&connection), BufWriter::new(&connection));
    let mut script = Script { client, known: ClientMap::new() };
    let mut line = String::new();
    for first in (0..count).step_by(PIPELINE) {
        let steps: Vec<_> = (first..count.min(first + PIPELINE)).map(|n| script.step(n)).collect();
        for (request, _) in &steps {
            writeln!(requests, "{request}")?;
        }
        requests.flush()?;
        for (request, expected) in &steps {
            line.clear();
            answers.read_line(&mut line)?;
            assert_eq!(line.trim_end(), expected, "client {client}: {request}");
        }
    }
    Ok(count)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|word| {
        word.parse::<usize>().unwrap_or_else(|_| {
            eprintln!("not a number: {word}\nusage: numa_server [CLIENTS] [REQUESTS EACH]");
            std::process::exit(2)
        })
    });
    let (clients, requests) = (numbers.next().unwrap_or(8), numbers.next().unwrap_or(20_000));
    let server = Server::start()?;
    println!("{}", server.pool.topology());
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let begun = Instant::now();
    let answered: usize = thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || {
            for connection in listener.incoming().take(clients).flatten() {
                scope.spawn(move || {
                    if let Err(error) = server.serve(&connection) {
                        eprintln!("connection lost: {error}");
                    }
                });
            }
        });
        let asking: Vec<_> = (0..clients).map(|c| scope.spawn(move || ask(address, c, requests))).collect();
        asking.into_iter().map(|client| client.join().unwrap()).sum::<io::Result<usize>>()
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{answered} requests answered, all as expected, {:.0} a second", answered as f64 / seconds);
    server.report();
    Ok(())
}
