//! How a server ends: what is under way is finished, what waits ends at once, nothing hangs.

use std::time::{Duration, Instant};

use crate::gated_store::{When, wait_until};
use crate::support::{Running, path};

#[test]
fn requests_under_way_are_finished_and_waits_end_at_once() {
    let running = Running::start();
    let since = running.json("/v1/stats")["asOf"]
        .as_str()
        .unwrap()
        .to_owned();
    let gate = running.store.hold_fetch(&path("src/main.rs"), When::Before);
    let mut working = running.client();
    working.ask("GET", "/v1/files/src/main.rs");
    gate.wait();
    let mut polling = running.client();
    polling.ask("GET", &format!("/v1/changes?since={since}&wait=1m"));
    let mut hearing = running.client();
    hearing.ask("GET", "/v1/events");
    assert_eq!(hearing.head().unwrap().status, 200);
    let mut idle = running.client();
    assert_eq!(idle.get("/livez").status, 200);
    let mut fresh = running.client();
    let mut half = running.client();
    half.send("GET /livez HTTP/1.1\r\n");
    wait_until("one waits and one hears", || {
        running.json("/v1/caches");
        let text = String::from_utf8(running.get("/metrics").body).unwrap();
        text.contains("cardex_http_waiting 2\n")
    });
    let address = running.address();
    let server = running.server;
    let start = Instant::now();
    let stopping = std::thread::spawn(move || server.stop());
    let answer = polling.answer();
    assert_eq!(
        (answer.status, &answer.json()["changes"]),
        (200, &serde_json::json!([]))
    );
    while hearing.line().is_some() {}
    assert!(idle.is_closed() && fresh.is_closed() && half.is_closed());
    assert!(!stopping.is_finished(), "one is being worked on");
    wait_until("nobody is let in", || {
        std::net::TcpStream::connect(address).is_err()
    });
    gate.release();
    assert_eq!(working.answer().status, 200);
    assert!(working.is_closed());
    assert!(stopping.join().unwrap(), "all came to their end");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn work_that_does_not_end_is_cut_off() {
    let running = Running::start();
    let gate = running.store.hold_fetch(&path("src/main.rs"), When::Before);
    let mut working = running.client();
    working.ask("GET", "/v1/files/src/main.rs");
    gate.wait();
    let start = Instant::now();
    assert!(!running.server.stop());
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(8),
        "{took:?}"
    );
    assert!(working.is_closed());
    gate.release();
}

#[test]
fn a_server_can_be_dropped_anywhere_and_its_port_taken_again() {
    let running = Running::start();
    let address = running.address();
    let mut idle = running.client();
    assert_eq!(idle.get("/livez").status, 200);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let Running { server, cardex, .. } = running;
    runtime.block_on(async move { drop(server) });
    assert!(idle.is_closed());
    let options = crate::support::options().listen(address);
    wait_until("the port is free", || {
        let again = cardex::server::Server::start(options.clone(), crate::support::served(&cardex));
        again.is_ok()
    });
}
