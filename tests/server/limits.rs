//! How much is done for anybody: sizes, times, requests at once.

use std::time::{Duration, Instant};

use crate::gated_store::{When, wait_until};
use crate::support::{Running, TOKEN, options, path, quiet};

#[test]
fn the_request_on_top_of_the_most_is_told_to_come_again() {
    let most = 64;
    let running = Running::start();
    let gate = running.store.hold_fetch(&path("src/main.rs"), When::Before);
    let mut clients: Vec<_> = (0..most).map(|_| running.client()).collect();
    for client in &mut clients {
        client.ask("GET", "/v1/files/src/main.rs");
    }
    wait_until("all are being worked on", || {
        let text = String::from_utf8(running.get("/metrics").body).unwrap();
        text.contains("cardex_http_working 64\n")
    });
    for target in ["/v1/query", "/v1/changes?since=start", "/v1/caches"] {
        let answer = running.get(target);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (503, "overloaded"),
            "{target}"
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    for target in ["/livez", "/readyz", "/healthz", "/metrics"] {
        assert_eq!(
            running.get(target).status,
            200,
            "{target} is answered whatever else goes on"
        );
    }
    gate.release();
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(running.json("/v1/query")["total"], 4);
}

#[test]
fn work_that_takes_too_long_is_given_up_and_goes_on() {
    let short = options()
        .request_timeout(Duration::from_millis(100))
        .unwrap();
    let running = Running::with(short.max_requests(1).unwrap(), quiet());
    let gate = running.store.hold_fetch(&path("src/main.rs"), When::Before);
    let answer = running.get("/v1/files/src/main.rs");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (503, "timed-out")
    );
    // It holds its permit until it ends: there are never more threads than requests.
    assert_eq!(running.get("/v1/query").problem(), "overloaded");
    gate.release();
    wait_until("the work has ended", || {
        running.get("/v1/query").status == 200
    });
    assert_eq!(running.get("/v1/files/src/main.rs").status, 200);
}

#[test]
fn who_goes_away_leaves_no_work_behind() {
    let running = Running::start();
    let names: Vec<_> = (0..200).map(|at| format!("a/{at:03}.go")).collect();
    names.iter().for_each(|name| running.add(name));
    assert_eq!(running.json("/v1/query?freshness=latest")["total"], 204);
    let gate = running.store.hold_fetch(&path("a/000.go"), When::Before);
    let before = running.store.fetches();
    let metrics = || String::from_utf8(running.get("/metrics").body).unwrap();
    let mut client = running.client();
    client.ask("GET", "/v1/query?records=true&limit=1000");
    gate.wait();
    drop(client);
    wait_until("it is seen that the client has gone", || {
        metrics().contains("cardex_http_connections 1\n")
    });
    gate.release();
    wait_until("the work has ended", || {
        metrics().contains("cardex_http_working 0\n")
    });
    assert_eq!(running.store.fetches() - before, 1, "one batch of four");
    let all = running.json("/v1/query?records=true&limit=1000");
    assert_eq!(all["hits"].as_array().unwrap().len(), 204);
}

#[test]
fn a_body_that_does_not_come_is_given_up_and_keeps_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = crate::support::token_file(&directory, 0o600);
    let short = options()
        .request_timeout(Duration::from_millis(200))
        .unwrap();
    let short = short.max_requests(1).unwrap().token_file(Some(file));
    let running = Running::with(short, quiet());
    let host = running.address();
    let mut client = running.client();
    client.send(format!(
        "POST /v1/sync HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    ));
    assert_eq!(running.get("/v1/query").status, 200, "it holds no permit");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (408, "slow-body")
    );
}

#[test]
fn headers_that_are_too_large_or_too_slow_end_the_connection() {
    let quick = options()
        .header_timeout(Duration::from_millis(300))
        .unwrap();
    let running = Running::with(quick, quiet());
    let host = running.address();
    let mut client = running.client();
    let start = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n");
    client.send(format!("{start}X: {}\r\n\r\n", "x".repeat(15 << 10)));
    assert_eq!(client.answer().status, 200, "15 KiB are few enough");
    client.send(format!("{start}X: {}\r\n\r\n", "x".repeat(17 << 10)));
    assert_eq!(client.head().unwrap().status, 431);
    let many: String = (0..101).map(|at| format!("X-{at}: 1\r\n")).collect();
    let mut client = running.client();
    client.send(format!("{start}{many}\r\n"));
    assert_eq!(client.head().unwrap().status, 431);
    let began = Instant::now();
    let mut slow = running.client();
    slow.send(&start);
    let mut idle = running.client();
    assert!(slow.is_closed() && idle.is_closed());
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn garbage_ends_its_connection_and_no_other() {
    let running = Running::start();
    let host = running.address();
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
        "GET / HTTP/1.1\r\nHost x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = running.client();
        client.send(format!(
            "GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n{garbage}"
        ));
        assert_eq!(
            client.answer().status,
            200,
            "what came before it is answered"
        );
        if let Some(answer) = client.head() {
            assert!(
                (400..600).contains(&answer.status),
                "{garbage:?}: {}",
                answer.status
            );
            assert!(client.is_closed(), "{garbage:?}");
        }
    }
    let mut client = running.client();
    client.send(format!(
        "POST /v1/sync HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
         \r\n0\r\n\r\nGET /livez HTTP/1.1\r\n\r\n"
    ));
    let smuggled = client.head().unwrap();
    assert!(smuggled.status >= 400, "{}", smuggled.status);
    assert_eq!(running.json("/v1/query")["total"], 4);
}

#[test]
fn a_body_where_none_is_taken_is_no_request_of_its_own() {
    let running = Running::start();
    let host = running.address();
    let mut client = running.client();
    let hidden = "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    let length = hidden.len();
    client.send(format!(
        "GET /livez HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{hidden}"
    ));
    assert_eq!(client.answer().status, 200);
    client.ask("GET", "/readyz");
    if let Some(answer) = client.head() {
        assert_eq!(answer.status, 200, "the next answer is of the next request");
    }
}

#[test]
fn as_many_clients_wait_as_requests_and_no_more() {
    let running = Running::with(options().max_requests(2).unwrap(), quiet());
    let mut first = running.client();
    let mut second = running.client();
    for client in [&mut first, &mut second] {
        client.ask("GET", "/v1/events");
        assert_eq!(client.head().unwrap().status, 200);
    }
    for target in ["/v1/events", "/v1/changes?since=start&wait=1s"] {
        let answer = running.get(target);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (503, "overloaded"),
            "{target}"
        );
    }
    // Each stream reads the log once, and then only waits.
    wait_until("who waits keeps nobody from working", || {
        running.get("/v1/query").status == 200
    });
    drop(first);
    wait_until("one has gone", || {
        running.get("/v1/changes?since=start&wait=1ms").status == 200
    });
}
