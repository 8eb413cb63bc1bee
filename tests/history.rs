//! Several processes over one database record what they were told and when, and what they committed;
//! then every answer is proven to equal the database at the position that it names, to be no older
//! than the age it states or the freshness it was asked for, and no process is ever taken back. The
//! proof is a command, `cardex verify`; here it is run as it is after every change.
//!
//! `CARDEX_TEST_HISTORY_SECONDS` sets how long each test records (18 and 10), `CARDEX_TEST_SEED`
//! repeats what is asked and written, though not in what order the processes come to it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle_support;

use std::path::Path;
use std::process::{Command, Output};

use oracle_support::{number, seed};
use serde_json::Value;

/// One after the other: each needs the machine for itself.
static TURN: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

/// So long, in seconds, that many answers are sure.
const LONG: usize = 18;

fn verify(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cardex"))
        .args(["verify", "--format", "json"])
        .args(arguments)
        .output()
        .unwrap()
}

/// The proof that a run tells of; it must be one.
fn proof(arguments: &[&str]) -> Value {
    let output = verify(arguments);
    let (told, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{told}");
    assert_eq!(output.status.code(), Some(0), "{told}{said}");
    assert_eq!(said, "", "nobody complains");
    let proof: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(proof["proven"], true);
    proof
}

fn count(proof: &Value, key: &str) -> u64 {
    proof[key].as_u64().unwrap()
}

#[test]
fn every_answer_is_of_the_position_and_the_age_that_it_names() {
    let _turn = TURN.lock();
    let seconds = number("CARDEX_TEST_HISTORY_SECONDS", LONG);
    let (time, seed) = (seconds.to_string(), seed().to_string());
    let proof = proof(&[
        "--kills",
        "--faults",
        "--readers=3",
        "--threads=4",
        "--writers=2",
        "--seconds",
        &time,
        "--seed",
        &seed,
    ]);
    assert!(count(&proof, "kills") > 0 && count(&proof, "faults") > 0);
    if seconds >= LONG {
        assert!(count(&proof, "answers") >= 100_000);
        for kind in ["absent", "latest", "atLeast", "maxAge"] {
            assert!(count(&proof, kind) > 1000, "{kind}");
        }
    }
}

/// Any error of any process, a database that is locked among them, is a violation.
#[test]
fn ten_processes_share_a_database_and_none_is_told_that_it_is_busy() {
    let _turn = TURN.lock();
    let time = number("CARDEX_TEST_HISTORY_SECONDS", 10).to_string();
    let seed = seed().to_string();
    let proof = proof(&[
        "--kills",
        "--readers=8",
        "--threads=1",
        "--writers=1",
        "--seconds",
        &time,
        "--seed",
        &seed,
    ]);
    assert!(count(&proof, "kills") > 0 && count(&proof, "answers") > 0);
}

/// Adds a line to what a process recorded.
fn record(folder: &Path, line: &str) {
    use std::io::Write as _;
    let file = folder.join("reader-0.0.lines");
    let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
    writeln!(file, "{line}").unwrap();
}

#[test]
fn a_recording_is_checked_again_and_a_lie_in_it_is_found() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("kept");
    let dir = dir.to_str().unwrap();
    let first = proof(&["--seconds=1", "--readers=1", "--dir", dir]);
    assert_eq!(first["recording"], dir);
    let again = proof(&["--replay", dir]);
    assert_eq!(count(&again, "answers"), count(&first, "answers"));

    record(Path::new(dir), "s 1 2 c 1 0");
    let output = verify(&["--replay", dir]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["proven"], false);
    assert_eq!(told["recording"], dir);
    let violation = &told["violations"][0];
    assert_eq!(violation["process"], "reader-0");
    assert_eq!(violation["answer"], "s 1 2 c 1 0");
    assert_eq!(violation["positions"]["asOf"], 1);

    record(Path::new(dir), "nonsense");
    let output = verify(&["--replay", dir]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("is no line of a recording"), "{said}");
    assert_eq!(verify(&["--dir", dir]).status.code(), Some(2));
}
