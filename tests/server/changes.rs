//! Changes: read, waited for, and told as they come.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::support::{Running, path};

fn listed(answer: &Value) -> Vec<(&str, bool)> {
    let changes = answer["changes"].as_array().unwrap().iter();
    let each = changes.map(|c| (c["path"].as_str().unwrap(), c["deleted"].as_bool().unwrap()));
    each.collect()
}

fn position(running: &Running) -> String {
    running.json("/v1/stats")["asOf"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn changes_are_told_since_a_position_page_by_page() {
    let running = Running::start();
    let all = running.json("/v1/changes?since=start");
    assert_eq!(all["freshInstance"], true);
    assert_eq!(listed(&all).len(), 4);
    let since = all["position"].as_str().unwrap();
    assert_eq!(
        listed(&running.json(&format!("/v1/changes?since={since}"))),
        []
    );
    running.add("a.go");
    running.add("b.go");
    running.cardex.remove(&path("src/main.rs")).unwrap();
    let first = running.json(&format!("/v1/changes?since={since}&limit=2"));
    assert_eq!(listed(&first), [("a.go", false), ("b.go", false)]);
    assert_eq!(
        (&first["truncated"], &first["freshInstance"]),
        (&json!(true), &json!(false))
    );
    let next = first["position"].as_str().unwrap();
    let rest = running.json(&format!("/v1/changes?since={next}"));
    assert_eq!(listed(&rest), [("src/main.rs", true)]);
    assert_eq!(rest["truncated"], false);
    // A query that comes after it knows what was told.
    assert_eq!(running.json("/v1/query?language=go")["total"], 2);
    let foreign = running.json("/v1/changes?since=0000000000000001:5");
    assert_eq!(foreign["freshInstance"], true);
}

#[test]
fn a_long_poll_returns_with_the_change_or_at_its_end() {
    let running = Running::following();
    let since = position(&running);
    let start = Instant::now();
    let nothing = running.json(&format!("/v1/changes?since={since}&wait=200ms"));
    assert_eq!(listed(&nothing), []);
    assert!(start.elapsed() >= Duration::from_millis(200));
    let mut waiting: Vec<Client> = (0..3).map(|_| running.client()).collect();
    for client in &mut waiting {
        client.ask("GET", &format!("/v1/changes?since={since}&wait=1m"));
    }
    crate::gated_store::wait_until("they wait", || {
        running.json("/v1/stats")["requests"]["waiting"] == 3
    });
    running.add("new.go");
    let start = Instant::now();
    for client in &mut waiting {
        let answer = client.answer().json();
        assert_eq!(listed(&answer), [("new.go", false)]);
        assert_eq!(answer["position"], position(&running));
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let at_once = running.json(&format!("/v1/changes?since={since}&wait=1m"));
    assert_eq!(
        listed(&at_once),
        [("new.go", false)],
        "what is there is not waited for"
    );
}

/// The next event: its name, its id, its data.
fn event(client: &mut Client) -> (String, String, Value) {
    let name = chunked(client, "event: ");
    let id = chunked(client, "id: ");
    let data = chunked(client, "data: ");
    (name, id, serde_json::from_str(&data).unwrap())
}

fn chunked(client: &mut Client, start: &str) -> String {
    client.line_after(start)
}

fn subscribe(running: &Running, last: Option<&str>, query: &str) -> Client {
    let mut client = running.client();
    let host = running.address();
    let last = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
    client.send(format!(
        "GET /v1/events{query} HTTP/1.1\r\nHost: {host}\r\n{last}\r\n"
    ));
    let head = client.head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    client
}

#[test]
fn events_tell_each_change_once_and_resume_where_they_were() {
    let running = Running::following();
    let mut client = subscribe(&running, None, "");
    assert_eq!(client.line_after("retry: "), "1000");
    running.add("a.go");
    let (name, first, data) = event(&mut client);
    assert_eq!(name, "change");
    assert_eq!(
        data,
        json!({"position": first, "changed": ["a.go"], "deleted": []})
    );
    assert_eq!(
        running.json("/v1/query?language=go")["total"],
        1,
        "a query knows it by then"
    );
    running.cardex.remove(&path("a.go")).unwrap();
    let (_, second, data) = event(&mut client);
    assert_eq!(
        data,
        json!({"position": second, "changed": [], "deleted": ["a.go"]})
    );
    drop(client);
    running.add("b.go");
    let mut resumed = subscribe(&running, Some(&first), "");
    let (_, _, data) = event(&mut resumed);
    let mut told: Vec<&str> = ["deleted", "changed"]
        .iter()
        .flat_map(|list| data[list].as_array().unwrap())
        .map(|path| path.as_str().unwrap())
        .collect();
    if told.len() == 1 {
        told.push("b.go");
        let (_, _, data) = event(&mut resumed);
        assert_eq!(data["changed"], json!(["b.go"]));
    }
    assert_eq!(told, ["a.go", "b.go"]);
    let mut since = subscribe(&running, None, &format!("?since={second}"));
    assert_eq!(event(&mut since).2["changed"], json!(["b.go"]));
}

#[test]
fn a_position_that_the_log_does_not_know_is_told_as_lost() {
    let running = Running::following();
    for last in ["0000000000000001:5", "none of ours"] {
        let mut client = subscribe(&running, Some(last), "");
        let (name, id, data) = event(&mut client);
        assert_eq!((name.as_str(), &data), ("lost", &json!({"position": id})));
        assert_eq!(id, position(&running));
        running.add(&format!("after-{}.go", last.len()));
        assert_eq!(event(&mut client).0, "change", "and goes on from there");
    }
}

#[test]
fn many_changes_come_in_events_of_a_thousand_files() {
    let running = Running::following();
    let since = position(&running);
    let writes: Vec<_> = (0..2_500)
        .map(|at| {
            let record = cardex::FileMetadata::builder(&format!("many/{at:04}.go")).build();
            cardex::store::Write::Put(record.unwrap())
        })
        .collect();
    cardex::store::MetadataStore::write(&*running.store, &writes).unwrap();
    let mut client = subscribe(&running, Some(&since), "");
    let mut told = 0;
    let mut last = String::new();
    while told < 2_500 {
        let (_, id, data) = event(&mut client);
        let changed = data["changed"].as_array().unwrap().len();
        assert!(changed <= 1000, "{changed}");
        told += changed;
        last = id;
    }
    assert_eq!((told, last), (2_500, position(&running)));
}

#[test]
fn who_has_gone_makes_room_again() {
    let running = Running::following();
    let waiting = || running.json("/v1/stats")["requests"]["waiting"].clone();
    let clients: Vec<Client> = (0..5).map(|_| subscribe(&running, None, "")).collect();
    assert_eq!(waiting(), 5);
    drop(clients);
    crate::gated_store::wait_until("they are forgotten", || waiting() == 0);
}
