//! Clients that hold connections and send next to nothing keep nobody out.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cardex::store::MetadataStore;
use cardex::{CacheOptions, FileMetadata, Function};

use crate::support::{Running, options, quiet};

/// More than the server keeps.
const SLOW: usize = 1_100;
/// How long a live client waits for most of its answers.
const PROMPT: Duration = Duration::from_millis(100);
/// And for any: the machine may do other work. No time is taken off for that, since a server that the slow
/// ones keep busy would be that work.
const LATE: Duration = Duration::from_secs(1);
/// How often it may be later even so.
const MAX_LATE: usize = 2;

#[test]
fn a_live_client_is_answered_while_a_thousand_others_send_a_byte_a_second() {
    raise_file_limit();
    let running = Running::with(options(), quiet());
    let address = running.address();
    let is_over = Arc::new(AtomicBool::new(false));
    let slow: Vec<TcpStream> = (0..SLOW)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let drip = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || drip(slow, &is_over)
    });
    let mut waits = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) || waits.len() <= 100 {
        let start = Instant::now();
        let answer = running.get("/v1/query?language=python");
        assert_eq!(answer.status, 200);
        waits.push(start.elapsed());
    }
    is_over.store(true, Ordering::SeqCst);
    let tried = drip.join().unwrap();
    assert!(tried > SLOW, "they did send: {tried}");
    waits.sort_unstable();
    let (asked, middle) = (waits.len(), waits[waits.len() / 2]);
    let late = &waits[waits.partition_point(|wait| *wait < LATE)..];
    println!("{asked} answers, half of them within {middle:?}, late: {late:?}");
    assert!(middle < PROMPT, "{middle:?}");
    assert!(late.len() <= MAX_LATE, "of {asked} answers: {late:?}");
    let open = running.json("/v1/stats")["requests"]["connections"]
        .as_u64()
        .unwrap();
    assert!(open <= 1024, "{open}");
}

/// Sends a byte on each connection a second, and opens each anew that was closed. Returns how many were
/// sent.
fn drip(mut slow: Vec<TcpStream>, is_over: &AtomicBool) -> usize {
    let line = b"GET /v1/query HTTP/1.1\r\nHost: localhost\r\nX-Slow: 1";
    let mut sent = 0;
    for byte in line.iter().cycle() {
        let round = Instant::now();
        for stream in &mut slow {
            match stream.write(&[*byte]) {
                Ok(_) => sent += 1,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    let address = stream.peer_addr();
                    if let Some(next) = address.ok().and_then(|a| TcpStream::connect(a).ok()) {
                        *stream = next;
                    }
                }
            }
        }
        while round.elapsed() < Duration::from_secs(1) {
            if is_over.load(Ordering::SeqCst) {
                return sent;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
    sent
}

/// Both ends of each connection are files of this process.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let wanted = Some(4096);
    if limit.current < wanted && limit.current.is_some() {
        let maximum = limit.maximum;
        let current = maximum.map_or(wanted, |maximum| Some(maximum.min(4096)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
        assert!(current >= wanted, "this test wants 4096 open files");
    }
}

#[test]
fn for_one_connection_more_the_longest_idle_one_goes() {
    let few = options().max_connections(2).unwrap();
    let running = Running::with(
        few,
        CacheOptions::default().follow(false).load_bodies(false),
    );
    let mut first = running.client();
    assert_eq!(first.get("/livez").status, 200);
    let mut second = running.client();
    assert_eq!(second.get("/livez").status, 200);
    assert_eq!(first.get("/livez").status, 200);
    let mut third = running.client();
    assert_eq!(third.get("/livez").status, 200);
    assert!(second.is_closed(), "it was idle for the longest time");
    assert_eq!(first.get("/livez").status, 200);
    // A stream is a request under way: it is never closed for somebody who only comes.
    first.ask("GET", "/v1/events");
    assert_eq!(first.head().unwrap().status, 200);
    third.ask("GET", "/v1/events");
    assert_eq!(third.head().unwrap().status, 200);
    let mut fourth = running.client();
    assert!(fourth.is_closed(), "all there are are at work");
    assert_eq!(first.line_after("retry: "), "1000");
}

#[test]
fn a_download_that_goes_on_is_no_idle_connection() {
    let few = options().max_connections(2).unwrap();
    // A machine that does other work may take long to read so much.
    let few = few.request_timeout(Duration::from_secs(60)).unwrap();
    let running = Running::with(few, quiet());
    // More than the kernel holds for a connection.
    let text = "x".repeat(1 << 20);
    for at in 0..24 {
        let function = Function::named("f").intent(text.as_str());
        let record = FileMetadata::builder(&format!("big/{at}.rs")).function(function);
        running.store.put(&record.build().unwrap()).unwrap();
    }
    let mut download = running.client();
    download.ask("GET", "/v1/query?records=true&freshness=latest");
    let head = download.head().unwrap();
    assert_eq!(head.status, 200);
    let mut idle = running.client();
    assert_eq!(idle.get("/livez").status, 200);
    let mut third = running.client();
    assert_eq!(third.get("/livez").status, 200);
    assert!(
        idle.is_closed(),
        "the download began before it, and goes on"
    );
    let length: usize = head.header("content-length").unwrap().parse().unwrap();
    assert!(length > 24 << 20);
    assert_eq!(download.bytes(length).len(), length);
    assert_eq!(download.get("/livez").status, 200);
}

#[test]
fn who_takes_no_answer_is_given_up() {
    let short = options()
        .request_timeout(Duration::from_millis(200))
        .unwrap();
    let running = Running::with(short, quiet());
    let host = running.address();
    let mut client = running.client();
    // Answers for which the kernel has no room: far more than a socket holds.
    let ask = format!("GET /openapi.json HTTP/1.1\r\nHost: {host}\r\n\r\n");
    client.send(ask.repeat(2_000));
    crate::gated_store::wait_until("it is given up", || {
        running.json("/v1/stats")["requests"]["connections"] == 1
    });
}
