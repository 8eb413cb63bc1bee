//! `Index`: a snapshot is exactly one position of history, positions never go back for anybody, and
//! neither a fold nor a replacement loses or revives a file.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use libtest_mimic::Trial;
use shuttle::thread::{self, JoinHandle};

use crate::error::ErrorKind;
use crate::explore::{claim, join};
use crate::index::{Changes, Index, SegmentBuilder, Snapshot, Stamp};
use crate::position::Position;
use crate::query::Query;

pub(crate) fn claims() -> Vec<Trial> {
    vec![
        claim(
            "index: a reader sees all of a commit or none",
            4000,
            apply_read,
        ),
        claim("index: apply against fold", 4000, apply_fold),
        claim("index: replace against fold", 4000, replace_fold),
        claim("index: two folds at once", 4000, two_folds),
        claim(
            "index: a fold that breaks leaves the tiers",
            3000,
            broken_fold,
        ),
        claim("index: of two writers none goes back", 4000, two_writers),
        claim("index: what nobody reads is freed", 20, freed),
    ]
}

/// The files with their versions, after each commit: `HISTORY[p]` is position `p`. A version is the
/// position of the last change of its file.
type Files = BTreeMap<&'static str, u64>;

const PATHS: [&str; 4] = ["a", "b", "c", "d"];

/// What commit `p` does: these files change, those go.
const COMMITS: [(&[&str], &[&str]); 6] = [
    (&["a", "b"], &[]),
    (&["b", "c"], &["a"]),
    (&["a", "d"], &["b"]),
    (&["a", "b", "c", "d"], &[]),
    (&[], &["a", "c"]),
    (&["c"], &["d"]),
];

fn history(position: u64) -> Files {
    let mut files = Files::new();
    for (commit, (changed, gone)) in (1..=position).zip(COMMITS) {
        files.extend(changed.iter().map(|path| (*path, commit)));
        files.retain(|path, _| !gone.contains(path));
    }
    files
}

fn at(sequence: u64) -> Position {
    Position { epoch: 1, sequence }
}

fn stamp(sequence: u64) -> Stamp {
    Stamp {
        position: at(sequence),
        ..Stamp::default()
    }
}

fn add(builder: &mut SegmentBuilder, path: &str, version: u64) {
    builder.file(path, Some("rust"), version);
    builder.function(&format!("f{version}"));
}

/// An index at a position.
fn index_at(position: u64) -> Arc<Index> {
    let index = Index::new().unwrap();
    replace(&index, position);
    Arc::new(index)
}

fn replace(index: &Index, position: u64) {
    let mut files = index.builder();
    for (path, version) in history(position) {
        add(&mut files, path, version);
    }
    publish(index, files, position);
}

fn publish(index: &Index, files: SegmentBuilder, position: u64) {
    let base = Arc::new(files.finish().unwrap());
    let none = Changes {
        files: index.builder(),
        deleted: Vec::new(),
    };
    index.replace(base, none, stamp(position), |_| {}).unwrap();
}

/// The changes of one commit.
fn changes(index: &Index, position: u64) -> Changes {
    let (changed, gone) = COMMITS[position as usize - 1];
    let mut files = index.builder();
    changed
        .iter()
        .for_each(|path| add(&mut files, path, position));
    Changes {
        files,
        deleted: gone.iter().map(|path| (*path).to_owned()).collect(),
    }
}

fn apply(index: &Index, position: u64) {
    index
        .apply(changes(index, position), stamp(position), |_, _| {})
        .unwrap();
}

/// The snapshot is history at its position: by path, by name and by count.
fn is_history(snapshot: &Arc<Snapshot>) {
    let position = snapshot.position().sequence;
    let expected = history(position);
    let found = PATHS.iter().filter_map(|path| {
        let hit = snapshot.file(path)?;
        Some((*path, hit.version))
    });
    assert_eq!(found.collect::<Files>(), expected, "at {position}");
    assert_eq!(snapshot.len(), expected.len());
    for version in 1..=position {
        let query = Query::builder().function(&format!("f{version}")).build();
        let answer = snapshot.search(&query.unwrap());
        let of_version = |(path, v): (&'static str, u64)| (v == version).then_some(path);
        let expected: Vec<_> = expected
            .clone()
            .into_iter()
            .filter_map(of_version)
            .collect();
        assert_eq!(
            answer.paths().collect::<Vec<_>>(),
            expected,
            "f{version} at {position}"
        );
    }
}

/// Looks several times: history each time, and never an earlier one.
fn read(index: &Index, times: usize) {
    let mut last = 0;
    for _ in 0..times {
        let snapshot = index.snapshot();
        is_history(&snapshot);
        let position = snapshot.position().sequence;
        assert!(position >= last, "{position} after {last}");
        last = position;
    }
}

fn spawn(index: &Arc<Index>, body: impl FnOnce(&Index) + Send + 'static) -> JoinHandle<()> {
    let index = Arc::clone(index);
    thread::spawn(move || body(&index))
}

fn ends_at(index: &Index, position: u64) {
    let snapshot = index.snapshot();
    is_history(&snapshot);
    assert_eq!(snapshot.position(), at(position));
}

fn apply_read() {
    let index = index_at(1);
    join([
        spawn(&index, |index| (2..=5).for_each(|p| apply(index, p))),
        spawn(&index, |index| read(index, 3)),
        spawn(&index, |index| read(index, 3)),
    ]);
    ends_at(&index, 5);
}

fn apply_fold() {
    let index = index_at(1);
    apply(&index, 2);
    join([
        spawn(&index, |index| (3..=6).for_each(|p| apply(index, p))),
        spawn(&index, |index| {
            index.fold().unwrap();
            index.fold().unwrap();
        }),
        spawn(&index, |index| read(index, 2)),
    ]);
    ends_at(&index, 6);
    index.fold().unwrap();
    ends_at(&index, 6);
    assert_eq!(index.snapshot().tiers(), 0);
}

fn replace_fold() {
    let index = index_at(1);
    apply(&index, 2);
    join([
        spawn(&index, |index| {
            replace(index, 4);
            (5..=6).for_each(|p| apply(index, p));
        }),
        spawn(&index, |index| {
            index.fold().unwrap();
            index.fold().unwrap();
        }),
        spawn(&index, |index| read(index, 2)),
    ]);
    ends_at(&index, 6);
    index.fold().unwrap();
    ends_at(&index, 6);
}

/// One of them at least folds; a fold that came second leaves the other's work alone.
fn two_folds() {
    let index = index_at(2);
    (3..=4).for_each(|p| apply(&index, p));
    join([
        spawn(&index, |index| {
            index.fold().unwrap();
        }),
        spawn(&index, |index| {
            index.fold().unwrap();
        }),
        spawn(&index, |index| (5..=6).for_each(|p| apply(index, p))),
        spawn(&index, |index| read(index, 1)),
    ]);
    ends_at(&index, 6);
}

/// It is as if it had not begun: what was applied meanwhile stays, and the next one folds it all.
fn broken_fold() {
    let index = index_at(1);
    apply(&index, 2);
    join([
        spawn(&index, |index| {
            let breaks = || index.fold_around(|| resume_unwind(Box::new("the fold breaks")));
            let _ = catch_unwind(AssertUnwindSafe(breaks));
        }),
        spawn(&index, |index| (3..=5).for_each(|p| apply(index, p))),
        spawn(&index, |index| {
            index.fold().unwrap();
            read(index, 1);
        }),
    ]);
    ends_at(&index, 5);
    index.fold().unwrap();
    ends_at(&index, 5);
    assert_eq!(index.snapshot().tiers(), 0);
}

/// The slower of two writers is refused, and nothing of its changes is seen.
fn two_writers() {
    let index = index_at(3);
    let write = |index: &Index, position| {
        // Commit 4 changes every file, so it may be laid over any earlier position.
        match index.apply(changes(index, 4), stamp(position), |_, _| {}) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Internal);
                assert!(index.snapshot().position() > at(position));
            }
        }
    };
    let sequences = |index: &Index| {
        let mut last = 0;
        for _ in 0..3 {
            let now = index.snapshot().position().sequence;
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    };
    join([
        spawn(&index, move |index| write(index, 4)),
        spawn(&index, move |index| write(index, 5)),
        spawn(&index, sequences),
    ]);
    assert_eq!(index.snapshot().position(), at(5));
    assert_eq!(index.snapshot().len(), 4);
}

/// A large base is kept while somebody reads it, and no longer.
fn freed() {
    const FILES: u64 = 4500;
    let index = Arc::new(Index::new().unwrap());
    let mut files = index.builder();
    for number in 0..FILES {
        files.file(&format!("{number:05}"), None, 1);
    }
    publish(&index, files, 1);
    let segment = Arc::downgrade(&index.snapshot().layers[0].segment);
    let reader = spawn(&index, |index| {
        let snapshot = index.snapshot();
        thread::yield_now();
        let expected = if snapshot.position() == at(1) {
            FILES
        } else {
            0
        };
        assert_eq!(snapshot.len() as u64, expected);
    });
    publish(&index, index.builder(), 2);
    reader.join().unwrap();
    while segment.strong_count() > 0 {
        thread::yield_now();
    }
}
