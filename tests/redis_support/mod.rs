//! A real Redis server for a test, on a socket of its own, without a file to come back from; and a way
//! to it that can be made bad: see `proxy`. Used by other test programs by `#[path]`.

#![allow(dead_code, reason = "each program of tests uses a part of it")]

pub mod proxy;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cardex::tier::{RedisTier, RedisTierOptions};
use cardex::{Clock, RedisClient, RedisOptions, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

/// How long a test waits for what must happen.
pub const SOON: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(1);

/// How many ports are tried.
const PORTS: usize = 10;

/// How long a client waits that is in haste: a busy machine must not look like a broken server.
pub const HASTE: Duration = Duration::from_secs(1);
/// How long a client waits that is in no haste.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// A server. It ends with this.
pub struct Server {
    home: tempfile::TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more options: `--name value`.
    pub fn start_with(options: &[&str]) -> Self {
        let mut server = Self::new(options);
        server.restart();
        server
    }

    pub fn socket(&self) -> PathBuf {
        self.home.path().join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Ends the server, if it runs, and starts an empty one in its place.
    pub fn restart(&mut self) {
        assert!(self.begins(), "the server ended");
    }

    /// A server that listens at a TCP port, too, and the port.
    pub fn start_at_port() -> (Self, String) {
        for _ in 0..PORTS {
            // Somebody else may take it before the server does.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port().to_string();
            drop(listener);
            let mut server = Self::new(&["--port", &port, "--bind", "127.0.0.1"]);
            if server.begins() {
                return (server, port);
            }
        }
        panic!("none of {PORTS} ports was free");
    }

    fn new(options: &[&str]) -> Self {
        Server {
            home: tempfile::tempdir().unwrap(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            child: None,
        }
    }

    /// Starts it, and waits until it answers; false if it ended.
    fn begins(&mut self) -> bool {
        self.kill();
        let started = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args(["--daemonize", "no", "--loglevel", "warning"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.home.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let mut child = started.unwrap_or_else(|error| {
            panic!(
                "cannot start redis-server ({error}): install it by `make test-deps`, or by \
                 `apt-get install redis-server`"
            )
        });
        let mut is_over = false;
        soon("the server answers", || {
            is_over = child.try_wait().unwrap().is_some();
            if is_over {
                return true;
            }
            let client = redis::Client::open(self.url()).unwrap();
            let Ok(mut connection) = client.get_connection() else {
                return false;
            };
            // One that wants a password has begun, too.
            match redis::cmd("PING").query::<String>(&mut connection) {
                Ok(pong) => pong == "PONG",
                Err(error) => error.code() == Some("NOAUTH"),
            }
        });
        self.child = Some(child);
        !is_over
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            _ = std::fs::remove_file(self.socket());
        }
    }

    /// Has it stand still: its connections stay, and nobody answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection().unwrap()
    }

    /// The same, as soon as the server takes one more.
    pub fn connection_soon(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = None;
        soon("the server takes one more", || {
            connection = client.get_connection().ok();
            connection.is_some()
        });
        connection.unwrap()
    }

    /// What the server replies to these words.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query(&mut self.connection()).unwrap()
    }

    /// The only name on the server that begins so.
    pub fn name(&self, start: &str) -> String {
        let names: Vec<String> = self.ask(&["KEYS", &format!("{start}*")]);
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].clone()
    }

    /// A client with short time-outs.
    pub fn client(&self) -> Arc<RedisClient> {
        client(&self.url())
    }

    /// A tier of a client of its own, as another process has it.
    pub fn tier(&self) -> RedisTier {
        tier(self.client())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Short time-outs, and a circuit that is open for 50 ms.
pub fn options(url: &str) -> RedisOptions {
    let options = RedisOptions::new(url).unwrap();
    let options = options.timeout(HASTE).unwrap();
    options.breaker_cooldown(Duration::from_millis(50)).unwrap()
}

/// A client with these, and the machine's clock.
pub fn client(url: &str) -> Arc<RedisClient> {
    let options = options(url).timeout(TIMEOUT).unwrap();
    RedisClient::new(options, Arc::new(SystemClock) as Arc<dyn Clock>)
}

/// A client that gives up soon.
pub fn hasty_client(url: &str) -> Arc<RedisClient> {
    RedisClient::new(options(url), Arc::new(SystemClock))
}

/// A tier in the namespace `test`, whose values live for 300 s by default.
pub fn tier(client: Arc<RedisClient>) -> RedisTier {
    let options = RedisTierOptions::new("test").unwrap();
    let options = options.ttl(Duration::from_secs(300)).unwrap();
    RedisTier::new("tier", options, client)
}

/// Waits until it holds, and fails if it does not soon. Leaves the machine to those who are waited for.
#[track_caller]
pub fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < SOON, "waited for too long until {what}");
        std::thread::park_timeout(LOOK);
    }
}
