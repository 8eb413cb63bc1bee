//! What does it cost to ask over HTTP, and how much of that is ours? A client in the same process asks
//! on one keep-alive socket, one question after the other: the record of a file, and the first twenty
//! files of a language that define a function. The peer is SQLite with its statements held, behind a
//! server made of the same parts: the same threads, the same work on threads that may block, the same
//! JSON. Both answer the same, which is checked before anything is timed.
//!
//! `cargo bench --bench serve`; `CARDEX_BENCH_SCALE=small` for a short run. Works on copies of the
//! databases of `load`. Times are those of the clock, from the first byte sent to the last one read: most of
//! it is sockets, threads and JSON, which both pay. A ratio is theirs to ours, so more is better.

mod client;
#[expect(dead_code, reason = "each bench uses another part of it")]
#[path = "../common/mod.rs"]
mod common;
mod peer;
mod questions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cardex::server::{Served, Server, ServerOptions};
use cardex::{CacheCoordinator, CacheOptions, Cardex, SystemClock};
use serde_json::Value;

use self::client::Client;
use self::common::database::Database;
use self::common::race::{median, report};
use self::common::small;
use self::peer::Peer;
use self::questions::Questions;

fn main() {
    let (files, label, asked) = match small() {
        true => (5_000, "5k", 200),
        false => (100_000, "100k", 4_000),
    };
    let database = Database::of_size(files, label);
    let store = database.store().expect("the database opens");
    let options = CacheOptions::default()
        .max_items(files)
        .and_then(|options| {
            let most = 2 << 30;
            options.max_bytes(most)
        });
    let options = options.expect("they are in range");
    let cardex = Cardex::over(store, Arc::new(SystemClock), options).expect("its thread starts");
    cardex.load().expect("the database can be read");
    let address = ([127, 0, 0, 1], 0).into();
    let coordinator = Arc::new(CacheCoordinator::default());
    let served = Served::new(&cardex, &coordinator);
    let server = Server::start(ServerOptions::default().listen(address), served);
    let server = server.expect("there is a free port");
    let questions = Questions::draw(&cardex, asked);
    let peer = Peer::start(&cardex);
    let mut ours = Client::connect(server.address());
    let mut theirs = Client::connect(peer.address());
    for (case, targets) in [
        ("point", &questions.points),
        ("query20", &questions.queries),
    ] {
        for target in targets.iter().take(asked / 10) {
            let answers = [&mut ours, &mut theirs].map(|client| strip(client.get(target)));
            assert_eq!(answers[0], answers[1], "{target}");
        }
        race(&format!("{case},{label}"), targets, &mut ours, &mut theirs);
    }
    assert!(server.stop(), "nothing is under way");
}

/// What both must answer alike: not when, and not how long it took.
fn strip(answer: Vec<u8>) -> Value {
    let mut answer: Value = serde_json::from_slice(&answer).expect("it is JSON");
    let fields = answer.as_object_mut().expect("it is an object");
    fields.retain(|name, _| ["total", "hits", "record", "version"].contains(&name.as_str()));
    answer
}

/// Asks both in turns, and prints the median, the 99th of a hundred and the mean.
fn race(case: &str, targets: &[String], ours: &mut Client, theirs: &mut Client) {
    const TURN: usize = 100;
    let mut times: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for turn in targets.chunks(TURN) {
        for (client, times) in [&mut *ours, &mut *theirs].into_iter().zip(&mut times) {
            for target in turn {
                times.push(nanos(|| drop(client.get(target))));
            }
        }
    }
    let [p50, p99, mean] = [
        times.clone().map(median),
        times.clone().map(|times| at_share(times, 0.99)),
        times.map(|times| times.iter().sum::<f64>() / times.len() as f64),
    ];
    report(
        "serve",
        &format!("{case},p50"),
        "sqlite",
        p50[0],
        p50[1],
        None,
    );
    report(
        "serve",
        &format!("{case},p99"),
        "sqlite",
        p99[0],
        p99[1],
        None,
    );
    report(
        "serve",
        &format!("{case},mean"),
        "sqlite",
        mean[0],
        mean[1],
        Some(1.0),
    );
    let a_second = |nanos: f64| (1e9 / nanos).round();
    println!(
        "# {case}: {} requests a second on one socket, {} of the peer",
        a_second(mean[0]),
        a_second(mean[1])
    );
}

fn nanos(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().max(Duration::from_nanos(1)).as_nanos() as f64
}

fn at_share(mut times: Vec<f64>, share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() as f64 * share) as usize).min(times.len() - 1)]
}
