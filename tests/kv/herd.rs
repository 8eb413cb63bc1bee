//! Five processes of two hundred threads each miss one key of a Redis server at the same time.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier, Mutex};

use cardex::SystemClock;
use cardex::kv::{KvCache, KvOptions};
use cardex::tier::Lifetime;

use crate::redis_support::{Server, client, soon, tier};

const PROCESSES: usize = 5;
const THREADS: usize = 200;
/// Where a child process finds the server; without it, it is no child.
const URL: &str = "CARDEX_TEST_HERD_URL";

/// One of the processes: it asks when it is told to.
#[test]
#[ignore = "the program that the herd is made of"]
fn process() {
    let url = std::env::var(URL).expect("the herd says where the server is");
    let options = KvOptions::default();
    let cache = KvCache::new(
        "cache",
        options,
        Arc::new(tier(client(&url))),
        Arc::new(SystemClock),
    );
    let server = redis::Client::open(url.as_str()).unwrap();
    let server = Mutex::new(server.get_connection().unwrap());
    let count = |name: &str| -> u64 {
        let mut server = server.lock().unwrap();
        redis::cmd("INCR").arg(name).query(&mut *server).unwrap()
    };
    let asked = || -> u64 {
        let mut server = server.lock().unwrap();
        redis::cmd("GET").arg("asked").query(&mut *server).unwrap()
    };
    let together = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                together.wait();
                count("asked");
                let made = cache.get_or_load("k", Lifetime::Default, || {
                    count("loads");
                    soon("all are on their way", || {
                        asked() == (PROCESSES * THREADS) as u64
                    });
                    Ok(5_u64)
                });
                assert_eq!(made.unwrap(), 5);
            });
        }
        println!("ready");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        together.wait();
    });
    println!("answered");
}

/// A child process, ended with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_thousand_callers_in_five_processes_make_one_load() {
    let server = Server::start();
    let mut processes: Vec<Process> = (0..PROCESSES)
        .map(|_| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["herd::process", "--exact", "--ignored", "--nocapture"]);
            command
                .env(URL, server.url())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            Process(command.spawn().unwrap())
        })
        .collect();
    let mut said: Vec<_> = processes
        .iter_mut()
        .map(|process| BufReader::new(process.0.stdout.take().unwrap()).lines())
        .collect();
    let mut all_say = |word: &str| {
        for lines in &mut said {
            let mut lines = lines.by_ref().map_while(Result::ok);
            assert!(
                lines.any(|line| line.ends_with(word)),
                "each process is {word}"
            );
        }
    };
    all_say("ready");
    for process in &mut processes {
        writeln!(process.0.stdin.as_mut().unwrap(), "go").unwrap();
    }
    all_say("answered");
    for process in &mut processes {
        assert!(process.0.wait().unwrap().success());
    }
    assert_eq!(
        server.ask::<u64>(&["GET", "asked"]),
        (PROCESSES * THREADS) as u64
    );
    assert_eq!(server.ask::<u64>(&["GET", "loads"]), 1);
}
