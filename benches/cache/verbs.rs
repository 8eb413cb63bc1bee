//! The public verbs on a hit: [`Cardex::get`] and `get_many` of records that are in memory, against
//! quick_cache holding the same records. A `get` also reads the position that it answers for, checks
//! the body against it and counts.

use std::hint::black_box;

use cardex::{Cardex, FilePath, Query, Record};

use crate::common::database::{Database, PROJECT};
use crate::common::race::{race, report};
use crate::common::small;
use crate::traces::Zipf;

/// Reads in a turn.
const TURN: usize = 64 * 1024;
/// Keys in one `get_many`.
const MANY: usize = 64;
/// More than the records weigh.
const BYTES: u64 = 1 << 30;

type Quick = quick_cache::sync::Cache<FilePath, Record>;

pub(crate) fn run() {
    let database = if small() {
        Database::of_two_repositories(10_000)
    } else {
        Database::of_size(100_000, "100k")
    };
    let files = database.files;
    let builder = Cardex::builder().database(&database.path).project(PROJECT);
    let cardex = builder.max_items(2 * files).max_bytes(BYTES).open();
    let cardex = cardex.expect("the database is good");
    assert_eq!(cardex.stats().expect("it runs").items, files);

    let query = Query::builder().build().expect("everything");
    let answer = cardex.query(&query).expect("everything is found");
    let paths: Vec<&str> = answer.paths().collect();
    assert_eq!(paths.len(), files);
    let quick = Quick::new(2 * files);
    for path in &paths {
        let path = FilePath::new(path).expect("a path of the index");
        let record = cardex.get(&path).expect("it is there").expect("a record");
        // Both hold the same key: elsewhere in memory it would be nearer or farther.
        quick.insert(record.path.clone(), record);
    }

    let mut random = fastrand::Rng::with_seed(7);
    let uniform: Vec<u32> = (0..TURN).map(|_| random.u32(..files as u32)).collect();
    let mut zipf = Zipf::new(files, 8);
    let mut ranks: Vec<u32> = (0..files as u32).collect();
    random.shuffle(&mut ranks);
    let zipf: Vec<u32> = (0..TURN).map(|_| ranks[zipf.draw() as usize]).collect();
    for (order, wanted) in [("uniform", uniform), ("zipf", zipf)] {
        // The keys as callers bring them: just made, one after the other.
        let asked: Vec<FilePath> = wanted
            .iter()
            .map(|n| FilePath::new(paths[*n as usize]).expect("a path of the index"))
            .collect();
        agree(&cardex, &quick, &asked);
        let [ours, many, theirs] = race(
            TURN,
            [
                &mut || {
                    asked
                        .iter()
                        .for_each(|path| _ = black_box(cardex.get(path)))
                },
                &mut || {
                    let chunks = asked.chunks(MANY);
                    chunks.for_each(|paths| _ = black_box(cardex.get_many(paths)));
                },
                &mut || asked.iter().for_each(|path| _ = black_box(quick.get(path))),
            ],
        );
        let case = format!("{order},{}k,1thread", files / 1000);
        let get = format!("Cardex::get,{case}");
        report("cache", &get, "quick_cache", ours, theirs, Some(1.0));
        let get_many = format!("Cardex::get_many,{MANY},{case}");
        report("cache", &get_many, "own_gets", many, ours, Some(1.0));
        report(
            "cache",
            &get_many,
            "quick_cache_gets",
            many,
            theirs,
            Some(2.0),
        );
    }
}

fn agree(cardex: &Cardex, quick: &Quick, asked: &[FilePath]) {
    for paths in asked.chunks(MANY) {
        let many = cardex.get_many(paths).expect("they are there");
        for (path, found) in paths.iter().zip(many) {
            let theirs = quick.get(path).expect("it was inserted");
            let one = cardex.get(path).expect("it is there").expect("a record");
            assert!(found.is_some_and(|found| found.is_same(&theirs)));
            assert!(one.is_same(&theirs));
        }
    }
}
