//! What does it cost to ask over HTTP, and how much of that is ours? A client in the same process asks
//! on one keep-alive socket, one question after the other: the record of a file, and the first twenty
//! files of a language that define a function. The peer is SQLite with its statements held, behind a
//! server made of the same parts: the same threads, the same work on threads that may block, the same
//! JSON; once also with the JSON of each record ready to be sent, which nothing that makes it can be
//! faster than. Both answer the same, which is checked before anything is timed.
//!
//! `cargo bench --bench serve`; `CARDEX_BENCH_SCALE=small` for a short run. Works on copies of the
//! databases of `load`. Times are those of the clock, from the first byte sent to the last one read: most of
//! it is sockets, threads and JSON, which both pay. A ratio is theirs to ours, so more is better.
//!
//! Last table (AMD EPYC, two cores shared with other work):
//!
//! ```text
//! case              peer                         ours     theirs   ratio  target
//! point, 100k       rows of its database, mean   0.11ms   0.21ms   1.90   1    ok
//!   p99                                          0.22ms   0.39ms   1.74
//!   a second                                     8,960    4,721
//!   ready JSON      mean                         0.11ms   0.12ms   1.06
//!   p99                                          0.21ms   0.21ms   1.00
//! query20, 100k     clustered table, mean        0.12ms   0.18ms   1.52   1    ok
//!   p99                                          0.22ms   0.47ms   2.15
//!   a second                                     8,492    5,570
//! ```

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
    let plain = |target: &String| (target.clone(), target.clone());
    let as_blob = |target: &String| (target.clone(), target.replace("/v1/files/", "/blobs/"));
    let points: Vec<_> = questions.points.iter().map(plain).collect();
    let blobs: Vec<_> = questions.points.iter().map(as_blob).collect();
    let queries: Vec<_> = questions.queries.iter().map(plain).collect();
    for (case, peer, targets, limit) in [
        ("point", "sqlite", &points, Some(1.0)),
        ("point", "sqlite-json", &blobs, None),
        ("query20", "sqlite", &queries, Some(1.0)),
    ] {
        for (own, other) in targets.iter().take(asked / 10) {
            let answers = [ours.get(own), theirs.get(other)].map(strip);
            assert_eq!(answers[0], answers[1], "{own}");
        }
        let case = format!("{case},{label}");
        race(&case, peer, limit, targets, [&mut ours, &mut theirs]);
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
fn race(
    case: &str,
    peer: &str,
    limit: Option<f64>,
    targets: &[(String, String)],
    clients: [&mut Client; 2],
) {
    const TURN: usize = 100;
    let [ours, theirs] = clients;
    let mut times: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for turn in targets.chunks(TURN) {
        times[0].extend(turn.iter().map(|(own, _)| nanos(|| drop(ours.get(own)))));
        times[1].extend(
            turn.iter()
                .map(|(_, other)| nanos(|| drop(theirs.get(other)))),
        );
    }
    let p50 = times.clone().map(median);
    let p99 = times.clone().map(|times| at_share(times, 0.99));
    let mean = times.map(|times| times.iter().sum::<f64>() / times.len() as f64);
    for (measure, [ours, theirs], target) in [
        ("p50", p50, None),
        ("p99", p99, None),
        ("mean", mean, limit),
    ] {
        report(
            "serve",
            &format!("{case},{measure}"),
            peer,
            ours,
            theirs,
            target,
        );
    }
    let [ours, theirs] = mean.map(|nanos| (1e9 / nanos).round());
    println!("# {case}: {ours} requests a second on one socket, {theirs} of {peer}");
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
