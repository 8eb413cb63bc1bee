//! Room: how much is accepted, what waits for how long, and how many writers share a wait for the disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cardex::{ErrorKind, HealthState};

use crate::sinks::Scripted;
use crate::*;

#[test]
fn when_it_is_full_a_write_waits_then_fails_and_nothing_is_half_done() {
    let (place, sink) = (Place::new(), Scripted::applying());
    sink.hold();
    let journal = place.open(quick().max_operations(3).unwrap(), sink.clone());
    for n in 0..3 {
        journal
            .write(&key(&format!("k{n}")), bytes("1"), 1)
            .unwrap();
    }
    let start = Instant::now();
    let error = journal.write(&key("late"), bytes("1"), 1).unwrap_err();
    assert!(
        start.elapsed() >= Duration::from_millis(20),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.to_string().contains("`late`"), "{error}");
    assert_eq!(journal.pending(&key("late")), None);
    let health = journal.health();
    assert_eq!(
        (health.state, health.reasons[0].code),
        (HealthState::Unhealthy, "full")
    );
    assert_eq!((journal.stats().refused, journal.stats().accepted), (1, 3));
    sink.let_go();
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(journal.health().state, HealthState::Healthy);
    journal.write(&key("late"), bytes("2"), 2).unwrap();
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(sink.applied_values("late"), ["2"]);
}

#[test]
fn a_write_that_waits_for_room_goes_on_when_there_is_some() {
    let (place, sink) = (Place::new(), Scripted::applying());
    sink.hold();
    let options = quick().max_operations(1).unwrap().full_wait(LONG);
    let journal = Arc::new(place.open(options, sink.clone()));
    journal.write(&key("a"), bytes("1"), 1).unwrap();
    sink.wait_until_holding();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| journal.write(&key("b"), bytes("1"), 1));
        // It is refused at least once before there is room, which the health tells.
        let end = Instant::now() + LONG;
        while !journal.health().reasons.iter().any(|r| r.code == "full") {
            assert!(Instant::now() < end);
            std::thread::yield_now();
        }
        sink.let_go();
        second.join().unwrap().unwrap();
    });
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(sink.applied_values("b"), ["1"]);
}

#[test]
fn room_is_bounded_by_bytes_and_a_write_larger_than_all_of_it_is_refused_at_once() {
    let (place, sink) = (Place::new(), Scripted::applying());
    sink.hold();
    let journal = place.open(quick().max_bytes(10_000).unwrap(), sink.clone());
    let huge = journal.write(&key("a"), Some(vec![0; 10_000].into()), 1);
    assert_eq!(huge.unwrap_err().kind(), ErrorKind::InvalidInput);
    let mut accepted = 0;
    while journal
        .write(&key(&format!("k{accepted}")), Some(vec![0; 1000].into()), 1)
        .is_ok()
    {
        accepted += 1;
    }
    assert_eq!(accepted, 8, "of 1202 bytes each");
    assert!(journal.stats().bytes <= 10_000);
    sink.let_go();
    assert_eq!((journal.flush(LONG), journal.stats().bytes), (0, 0));
}

#[test]
fn options_out_of_range_are_refused() {
    use cardex::kv::write_behind::WriteBehindOptions as Options;
    let o = Options::default;
    let ms = Duration::from_millis;
    for refused in [
        o().max_operations(0),
        o().max_operations(1_000_001),
        o().max_bytes(4095),
        o().max_tries(0),
        o().batch(0),
        o().rests(ms(0), ms(1)),
        o().rests(ms(2), ms(1)),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn writers_share_a_wait_for_the_disk() {
    const THREADS: usize = 16;
    const WRITES: usize = 50;
    let (place, sink) = (Place::new(), Scripted::applying());
    let journal = Arc::new(place.open(quick().full_wait(LONG), sink.clone()));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let journal = Arc::clone(&journal);
            scope.spawn(move || {
                for n in 0..WRITES {
                    let key = key(&format!("t{thread}:{n}"));
                    journal.write(&key, bytes("value"), 1).unwrap();
                    assert!(journal.stats().accepted > 0);
                }
            });
        }
    });
    let (took, stats) = (start.elapsed(), journal.stats());
    let all = (THREADS * WRITES) as u64;
    println!(
        "{all} writes of {THREADS} threads: {} commits, {took:?}",
        stats.commits
    );
    assert_eq!(stats.accepted, all);
    assert!(
        stats.commits * 2 < all,
        "{} commits for {all} writes",
        stats.commits
    );
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(sink.applied.lock().unwrap().len() as u64, all);
}
