//! A key-value server on loopback whose memory comes from numaslab: worker threads answer real
//! requests, clients check every answer, and at the end the allocator tells what it did.
//!
//! ```text
//! cargo run --release --example server -- [CLIENTS] [REQUESTS EACH]
//! ```
//!
//! The protocol is lines: `set KEY VALUE`, `get KEY`, `del KEY`; answers are `ok`, `none` or
//! `value VALUE`. A connection ends when the client closes it.

use numaslab::NumaSlab;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, RwLock};
use std::thread;

#[global_allocator]
static GLOBAL: NumaSlab = NumaSlab::new();

/// Worker threads of the server.
const WORKERS: usize = 8;
/// Shards of the store, so that workers seldom meet.
const SHARDS: usize = 64;

/// What the server keeps: strings by name.
struct Store {
    shards: Vec<RwLock<HashMap<String, String>>>,
}

impl Store {
    fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    fn shard(&self, key: &str) -> &RwLock<HashMap<String, String>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        &self.shards[hasher.finish() as usize % SHARDS]
    }

    /// The answer to one request.
    fn answer(&self, request: &str) -> String {
        let mut words = request.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("set"), Some(key), Some(value)) => {
                self.shard(key).write().unwrap().insert(key.to_owned(), value.to_owned());
                "ok".to_owned()
            }
            (Some("get"), Some(key), None) => match self.shard(key).read().unwrap().get(key) {
                Some(value) => format!("value {value}"),
                None => "none".to_owned(),
            },
            (Some("del"), Some(key), None) => match self.shard(key).write().unwrap().remove(key) {
                Some(_) => "ok".to_owned(),
                None => "none".to_owned(),
            },
            _ => format!("error: what is {request:?}?"),
        }
    }
}

/// Serves connections from the queue until it is closed.
fn work(store: &Store, connections: &Mutex<Receiver<TcpStream>>) {
    loop {
        let next = connections.lock().unwrap().recv();
        let Ok(connection) = next else { return };
        if let Err(error) = serve(store, &connection) {
            eprintln!("connection lost: {error}");
        }
    }
}

fn serve(store: &Store, connection: &TcpStream) -> io::Result<()> {
    let mut answers = BufWriter::new(connection);
    for request in BufReader::new(connection).lines() {
        writeln!(answers, "{}", store.answer(&request?))?;
        answers.flush()?;
    }
    Ok(())
}

/// Sends `requests` requests and checks every answer against what it knows it has stored.
fn ask(server: SocketAddr, client: usize, requests: usize) -> io::Result<usize> {
    let connection = TcpStream::connect(server)?;
    connection.set_nodelay(true)?;
    let (mut answers, mut questions) = (BufReader::new(&connection), BufWriter::new(&connection));
    let mut known: HashMap<String, String> = HashMap::new();
    let mut line = String::new();
    for n in 0..requests {
        let key = format!("client{client}.key{}", n * 7 % 50);
        let (request, expected) = match n % 4 {
            0 | 1 => {
                let value = "x".repeat(1 + n * 37 % 3000);
                known.insert(key.clone(), value.clone());
                (format!("set {key} {value}"), "ok".to_owned())
            }
            2 => {
                let expected = known.get(&key).map_or("none".to_owned(), |value| format!("value {value}"));
                (format!("get {key}"), expected)
            }
            _ => {
                let expected = known.remove(&key).map_or("none", |_| "ok");
                (format!("del {key}"), expected.to_owned())
            }
        };
        writeln!(questions, "{request}")?;
        questions.flush()?;
        line.clear();
        answers.read_line(&mut line)?;
        assert_eq!(line.trim_end(), expected, "client {client}, request {n}");
    }
    Ok(requests)
}

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|word| {
        word.parse::<usize>().unwrap_or_else(|_| {
            eprintln!("not a number: {word}\nusage: server [CLIENTS] [REQUESTS EACH]");
            std::process::exit(2)
        })
    });
    let (clients, requests) = (numbers.next().unwrap_or(64), numbers.next().unwrap_or(1000));
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let (store, (queue, connections)) = (Store::new(), channel());
    let connections = Mutex::new(connections);
    let answered: usize = thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(&store, &connections));
        }
        scope.spawn(move || {
            for connection in listener.incoming().take(clients).flatten() {
                // The queue ends with this thread, and the workers with the queue.
                queue.send(connection).unwrap();
            }
        });
        let asking: Vec<_> = (0..clients).map(|c| scope.spawn(move || ask(address, c, requests))).collect();
        asking.into_iter().map(|client| client.join().unwrap()).sum::<io::Result<usize>>()
    })?;
    println!("{answered} requests answered, all as expected\n");
    print!("{}", numaslab::stats());
    Ok(())
}
