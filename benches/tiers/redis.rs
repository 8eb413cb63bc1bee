//! The tier on a Redis server against the client of the redis crate itself, which asks for the bare value
//! and checks nothing. Both wait for the same server, so what is timed is the time that passes.

use std::hint::black_box;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cardex::SystemClock;
use cardex::tier::{Lifetime, RedisTier, RedisTierOptions, Tier};
use cardex::{RedisClient, RedisOptions};
use redis::Commands;

use super::memory::keys;
use crate::common::race::{median, report, time};
use crate::common::small;

/// The server, ended with this.
struct Server {
    child: Child,
    home: tempfile::TempDir,
}

impl Server {
    /// `None` if there is no redis-server here.
    fn start() -> Option<Self> {
        let home = tempfile::tempdir().expect("a directory");
        let socket = home.path().join("s");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(home.path())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let server = Server { child, home };
        let begun = Instant::now();
        while redis::Client::open(server.url())
            .and_then(|client| client.get_connection())
            .is_err()
        {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "the server starts"
            );
            std::thread::yield_now();
        }
        Some(server)
    }

    fn url(&self) -> String {
        format!("unix://{}", self.home.path().join("s").display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run() {
    let Some(server) = Server::start() else {
        eprintln!("bench=tiers: the Redis cases want redis-server: apt-get install redis-server");
        std::process::exit(1);
    };
    let client = RedisClient::new(
        RedisOptions::new(&server.url()).expect("an address"),
        Arc::new(SystemClock),
    );
    let options = RedisTierOptions::new("bench").expect("a name");
    let tier = RedisTier::new("bench", options, client);
    let mut raw = redis::Client::open(server.url())
        .and_then(|client| client.get_connection())
        .expect("a connection");
    for length in [100, 1024, 8192] {
        hits(&tier, &mut raw, length);
    }
}

fn hits(tier: &RedisTier, raw: &mut redis::Connection, length: usize) {
    let keys = keys(200);
    for key in &keys {
        let value = vec![b'v'; length];
        let kept = tier.put(key, value.clone().into(), 1, Lifetime::Default.into());
        assert!(kept.expect("the server is there"));
        let name = format!("raw:{key}");
        raw.set_ex::<_, _, ()>(name, value, 3600)
            .expect("the server is there");
    }
    let names: Vec<String> = keys.iter().map(|key| format!("raw:{key}")).collect();
    let rounds = if small() { 3 } else { 41 };
    let (mut ours, mut theirs, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        for key in &keys {
            let one = Instant::now();
            let entry = tier.get(key).expect("the server is there");
            assert_eq!(entry.expect("it is there").value.len(), length);
            each.push(one.elapsed().as_nanos() as f64);
        }
        ours.push(begun.elapsed().as_nanos() as f64 / keys.len() as f64);
        let begun = Instant::now();
        for name in &names {
            let value: Vec<u8> = raw.get(name).expect("the server is there");
            assert_eq!(black_box(value).len(), length);
        }
        theirs.push(begun.elapsed().as_nanos() as f64 / keys.len() as f64);
    }
    let case = format!("redis,hit,{length}B");
    report(
        "tiers",
        &case,
        "redis-crate",
        median(ours),
        median(theirs),
        Some(1.0 / 1.2),
    );
    each.sort_by(f64::total_cmp);
    let p95 = each[each.len() * 95 / 100];
    let verdict = if p95 < 1e7 { "ok" } else { "short" };
    println!(
        "bench=tiers case={case},p95 peer=limit ours={} theirs=10ms ratio={:.2} target=1 {verdict}",
        time(p95),
        1e7 / p95
    );
}
