//! redis-server on loopback: a data set whose digest is the proof, and redis-benchmark's commands for the time.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    library::Library,
    program::{Act, Program},
    stage::{Look, Stage, peak_kib},
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The programs.
pub fn programs() -> Vec<Program> {
    vec![Program {
        name: "redis",
        what: "12 commands of redis-benchmark, 50,000 times each, 16 at a time",
        unit: "s",
        needs: &["redis-server", "redis-cli", "redis-benchmark"],
        prepare,
        act,
    }]
}

/// Writes commands that fill a database with all kinds of values, which grow, shrink and go.
fn prepare(folder: &Path) -> Result<()> {
    let mut text = Vec::new();
    let mut say = |words: &[&str]| -> Result<()> {
        write!(text, "*{}\r\n", words.len())?;
        words.iter().try_for_each(|word| Ok(write!(text, "${}\r\n{word}\r\n", word.len())?))
    };
    let value = "numaslab ".repeat(600);
    for number in 0..30_000_usize {
        let key = number.to_string();
        let length = [10, 40, 100, 300, 900, 5000][number * 7 % 6];
        say(&["SET", &format!("text:{key}"), &value[..length]])?;
        say(&["HSET", &format!("hash:{}", number % 500), &key, &value[..number % 90]])?;
        say(&["RPUSH", &format!("list:{}", number % 300), &value[..number % 200]])?;
        say(&["ZADD", &format!("order:{}", number % 200), &key, &format!("member-{key}")])?;
        say(&["SADD", &format!("set:{}", number % 400), &format!("member-{key}")])?;
        say(&["APPEND", &format!("long:{}", number % 50), &value[..100]])?;
        match number % 5 {
            0 => say(&["DEL", &format!("text:{}", number / 2)])?,
            1 => say(&["LPOP", &format!("list:{}", number % 300)])?,
            2 => say(&["HDEL", &format!("hash:{}", number % 500), &(number / 2).to_string()])?,
            _ => {}
        }
    }
    Ok(fs::write(folder.join("commands"), text)?)
}

/// A running server; it ends with this value.
struct Server {
    process: Child,
    port: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(stage: &Stage) -> Result<Self> {
        // A port that is free now.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let mut command = stage.command("redis-server");
        if stage.library == Library::Glibc {
            // Debian links its redis with jemalloc.
            command.env("LD_PRELOAD", &stage.file);
        }
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--enable-debug-command", "yes", "--loglevel", "warning", "--dir", "."]);
        let process = command.stdout(Stdio::null()).spawn().context("can't start redis-server")?;
        let mut server = Self { process, port };
        let begun = Instant::now();
        while server.ask(&["PING"]).ok().is_none_or(|answer| answer != b"PONG\n") {
            if let Some(status) = server.process.try_wait()? {
                bail!("redis-server: {status}");
            }
            if begun.elapsed() > PATIENCE {
                bail!("redis-server does not answer");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// What redis-cli says, or what another client does, which has no library of ours under it.
    fn client(&self, program: &str, arguments: &[&str], input: Stdio) -> Result<Vec<u8>> {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port]).args(arguments).stdin(input);
        let Output { status, stdout, stderr } = command.output()?;
        if !status.success() {
            bail!("{program}: {status}: {}", String::from_utf8_lossy(&stderr));
        }
        Ok(stdout)
    }

    fn ask(&self, words: &[&str]) -> Result<Vec<u8>> {
        self.client("redis-cli", words, Stdio::null())
    }
}

fn act(stage: &Stage) -> Result<Act> {
    let mut server = Server::start(stage)?;
    let commands = fs::File::open(stage.folder.join("commands"))?;
    server.client("redis-cli", &["--pipe"], commands.into())?;
    let mut proof = Vec::new();
    let questions: [&[&str]; 5] = [
        &["DEBUG", "DIGEST"],
        &["DBSIZE"],
        &["GETRANGE", "long:7", "100", "300"],
        &["LRANGE", "list:11", "0", "5"],
        &["ZRANGE", "order:3", "0", "9", "WITHSCORES"],
    ];
    for question in questions {
        proof.extend(server.ask(question)?);
    }
    let begun = Instant::now();
    let requests = if stage.look == Look::Time { "50000" } else { "20000" };
    let kinds = "set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,lrange_100";
    let tuning = ["-n", requests, "-r", "50000", "-d", "200", "-P", "16", "-t", kinds, "-q"];
    server.client("redis-benchmark", &tuning, Stdio::null())?;
    let figure = begun.elapsed().as_secs_f64();
    let peak_kib = peak_kib(server.process.id());
    if server.ask(&["DEBUG", "DIGEST"])?.len() != 41 {
        bail!("no digest after the benchmark");
    }
    // It ends the connection without an answer.
    let _ = server.ask(&["SHUTDOWN", "NOSAVE"]);
    let status = server.process.wait()?;
    if !status.success() {
        bail!("redis-server ended with {status}");
    }
    Ok(Act { proof, figure, peak_kib })
}
