//! Files that change while results are made from them.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use crate::world::World;

#[test]
fn a_result_during_which_its_file_changed_is_not_answered_to_anybody_else() {
    let world = World::new();
    world.write("a", "one");
    let arguments = json!({"path": "a"});
    let made = world.run("read_file", &arguments, |_| {
        let text = world.contents("a");
        world.write("a", "two");
        text
    });
    assert_eq!(
        made.unwrap(),
        "one",
        "to who made it: it was so when the call began"
    );
    assert_eq!(world.read("a"), ("two".to_owned(), 2));
}

#[test]
fn who_asks_after_a_change_does_not_get_what_was_begun_before_it() {
    let world = World::new();
    world.write("a", "one");
    let (read, changed) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            world.run("read_file", &json!({"path": "a"}), |_| {
                let text = world.contents("a");
                read.wait();
                changed.wait();
                text
            })
        });
        read.wait();
        world.write("a", "two");
        let second = scope.spawn(|| world.read("a").0);
        changed.wait();
        assert_eq!(first.join().unwrap().unwrap(), "one");
        assert_eq!(second.join().unwrap(), "two");
    });
}

#[test]
fn many_who_miss_the_same_result_make_it_once() {
    let world = World::new();
    world.write("a", "one");
    let all = Barrier::new(100);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                all.wait();
                assert_eq!(world.read("a").0, "one");
            });
        }
    });
    assert_eq!(world.made(), 1);
}

/// Writers number what they write; no reader gets a number below one that was there when it asked.
#[test]
fn nobody_reads_what_was_replaced_before_he_asked() {
    let world = World::new();
    let files = ["a", "b", "c", "d"];
    let written: [AtomicU64; 4] = std::array::from_fn(|_| AtomicU64::new(0));
    files.iter().for_each(|file| world.write(file, "0"));
    let (done, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for reader in 0..4 {
            let (world, written, done, answers) = (&world, &written, &done, &answers);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(reader);
                while !done.load(Ordering::SeqCst) {
                    let at = random.usize(0..4);
                    let before = written[at].load(Ordering::SeqCst);
                    let text = world.read(files[at]).0;
                    // A file is empty for a moment while it is written.
                    if let Ok(number) = text.parse::<u64>() {
                        assert!(number >= before, "{} is {number}, was {before}", files[at]);
                    }
                    answers.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut random = fastrand::Rng::with_seed(99);
        for n in 1..=3000_u64 {
            let at = random.usize(0..4);
            world.write(files[at], &n.to_string());
            written[at].store(n, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
    let (answers, made) = (answers.load(Ordering::SeqCst), world.made());
    eprintln!("{answers} answers, {made} made");
    assert!(answers > 0);
}
