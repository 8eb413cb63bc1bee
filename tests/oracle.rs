//! The oracle: every answer of the index equals SQL on the same database. Random records, random
//! writes (ours, and a foreign client's raw SQL), random queries; 0 differences are allowed.

#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]

mod oracle_support;

use cardex::store::Write;
use cardex::{Cardex, FilePath, SyncMode};
use fastrand::Rng;
use oracle_support::{Asked, compare, foreign_statement, open_sql, path, record, seed};
use rusqlite::Connection;

/// Rounds of changes, and queries after each: 20,400 queries a run, half of them with alternatives or
/// denials.
const ROUNDS: usize = 120;
const QUERIES: usize = 170;

fn change(random: &mut Rng, cardex: &Cardex, database: &Connection, paths: &[String]) {
    let known = |random: &mut Rng| {
        random
            .choice(paths)
            .map(|path| FilePath::new(path).unwrap())
    };
    match random.u32(0..10) {
        0..3 => {
            cardex.update(&record(random)).unwrap();
        }
        3..5 => {
            if let Some(path) = known(random) {
                cardex.remove(&path).unwrap();
            }
        }
        5..7 => {
            let batch: Vec<Write> = (0..random.usize(0..30))
                .map(|_| match known(random).filter(|_| random.u32(0..3) == 0) {
                    Some(path) => Write::Remove(path),
                    None => Write::Put(record(random)),
                })
                .collect();
            cardex.store().write(&batch).unwrap();
        }
        _ => {
            let paths = [path(random), path(random)];
            foreign_statement(random, database, &paths);
        }
    }
}

#[test]
fn every_answer_equals_sql_on_the_same_database() {
    let mut random = Rng::with_seed(seed());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("oracle.db");
    let open = |project: &str| {
        Cardex::builder()
            .follow(false)
            .database(&file)
            .project(project)
            .open()
            .unwrap()
    };
    let (cardex, neighbour) = (open("main"), open("neighbour"));
    let database = open_sql(&file);
    let everything = Asked::default();
    let (mut queries, mut alternatives, mut denials) = (0, 0, 0);
    let (mut largest, mut tiered, mut folded) = (0, 0, 0);
    for round in 0..ROUNDS {
        let files = everything.answer_of_sql(&database, "main");
        largest = largest.max(files.len());
        let paths: Vec<String> = files.into_iter().map(|(path, _)| path).collect();
        for _ in 0..random.usize(1..8) {
            change(&mut random, &cardex, &database, &paths);
        }
        if round % 10 == 0 {
            neighbour.update(&record(&mut random)).unwrap();
        }
        let report = cardex.sync(SyncMode::Incremental).unwrap();
        assert_eq!(report.skipped_total, 0, "{report:?}");
        if round % 6 == 5 {
            cardex.rebuild().unwrap();
        }
        match cardex.snapshot().unwrap().tiers() {
            0 => folded += QUERIES,
            _ => tiered += QUERIES,
        }
        for _ in 0..QUERIES {
            let asked = compare(&mut random, &cardex, &database, "main");
            let (any_of, not) = asked.has_groups();
            queries += 1;
            alternatives += usize::from(any_of);
            denials += usize::from(not);
        }
        // What follows the log from the start equals what is read afresh.
        if round % 20 == 0 {
            let fresh = open("main");
            assert_eq!(
                fresh.snapshot().unwrap().position(),
                cardex.snapshot().unwrap().position()
            );
            compare(&mut random, &fresh, &database, "main");
            neighbour.sync(SyncMode::Incremental).unwrap();
            compare(&mut random, &neighbour, &database, "neighbour");
        }
    }
    println!(
        "{queries} queries ({alternatives} with alternatives, {denials} with denials; {tiered} over \
         tiers, {folded} over a base alone), up to {largest} files, 0 differences"
    );
    assert!(
        queries >= 20_000 && alternatives.min(denials) > 4_000 && largest > 100,
        "{queries} queries, {alternatives}, {denials}, over {largest} files"
    );
    assert!(tiered > 0 && folded > 0, "{tiered} and {folded}");
}
