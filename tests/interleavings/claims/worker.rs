//! `Worker`: a ring is never lost, whatever the round is doing when it comes, and dropping the
//! worker ends its thread.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use shuttle::thread;

use crate::explore::claim;
use crate::primitives::{Condvar, Mutex};
use crate::worker::Worker;

pub(crate) fn claims() -> Vec<Trial> {
    vec![
        claim("worker: a ring is never lost", 10_000, no_lost_ring),
        claim("worker: dropped in the middle of a round", 10_000, dropped),
    ]
}

#[derive(Default)]
struct Board {
    /// What has been asked for, and what a round has seen of it.
    numbers: Mutex<(u32, u32)>,
    seen: Condvar,
}

/// Each thread puts its request up, rings, and waits for a round that saw it: if a ring is lost,
/// everybody waits for good, which the checker reports.
fn no_lost_ring() {
    let board = Arc::new(Board::default());
    let worker = Worker::spawn("model", {
        let board = Arc::clone(&board);
        move |_| {
            let asked = board.numbers.lock().0;
            thread::yield_now();
            board.numbers.lock().1 = asked;
            board.seen.notify_all();
            None
        }
    });
    let worker = Arc::new(worker.unwrap());
    let threads = [(); 2].map(|()| {
        let (board, worker) = (Arc::clone(&board), Arc::clone(&worker));
        thread::spawn(move || {
            for _ in 0..2 {
                let mine = {
                    let mut numbers = board.numbers.lock();
                    numbers.0 += 1;
                    numbers.0
                };
                worker.ring();
                let mut numbers = board.numbers.lock();
                board
                    .seen
                    .wait_while(&mut numbers, |numbers| numbers.1 < mine);
            }
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

fn dropped() {
    let ended = Arc::new(());
    let held = Arc::clone(&ended);
    let worker = Worker::spawn("model", move |_| {
        let _held = &held;
        Some(Duration::from_millis(1))
    });
    let worker = worker.unwrap();
    worker.ring();
    thread::yield_now();
    drop(worker);
    // Here the time-out of the wait for it may come at once: then it ends a little later.
    while Arc::strong_count(&ended) > 1 {
        thread::yield_now();
    }
}
