//! What is delivered, in which order, how often, and what becomes of what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use cardex::kv::write_behind::{WriteBehind, WriteBehindOptions};
use cardex::{Clock, ErrorKind, HealthState, ManualClock};

use crate::sinks::{Act, Scripted, SqliteSink};
use crate::*;

#[test]
fn what_is_written_is_pending_until_the_sink_has_it() {
    let (place, sink) = (Place::new(), Scripted::applying());
    let journal = place.open(quick(), sink.clone());
    sink.hold();
    let id = journal.write(&key("a"), bytes("1"), 7).unwrap();
    let pending = journal.pending(&key("a")).unwrap();
    assert_eq!((pending.operation.id, pending.is_dead), (id, false));
    assert_eq!(pending.operation.value, bytes("1"));
    sink.wait_until_holding();
    assert!(
        journal.pending(&key("a")).is_some(),
        "also while it is with the sink"
    );
    assert_eq!(journal.pending(&key("b")), None);
    sink.let_go();
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(journal.pending(&key("a")), None);
    let seen = sink.seen.lock().unwrap();
    assert_eq!((seen.len(), seen[0].id, seen[0].version), (1, id, 7));
    assert_eq!(journal.health().state, HealthState::Healthy);
}

#[test]
fn the_last_operation_of_a_key_wins_deletes_included_and_the_order_is_kept() {
    let (place, sink) = (Place::new(), Scripted::applying());
    let journal = place.open(quick(), sink.clone());
    sink.hold();
    journal.write(&key("a"), bytes("1"), 1).unwrap();
    sink.wait_until_holding();
    for n in 2..10 {
        journal.write(&key("a"), bytes(&n.to_string()), n).unwrap();
    }
    journal.write(&key("a"), None, 10).unwrap();
    assert_eq!(journal.pending(&key("a")).unwrap().operation.value, None);
    assert_eq!(
        journal.stats().pending,
        2,
        "one with the sink, one behind it"
    );
    assert_eq!(journal.stats().overtaken, 8);
    sink.let_go();
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(sink.applied_values("a"), ["1", "deleted"]);
    journal.write(&key("a"), bytes("2"), 11).unwrap();
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(sink.applied_values("a"), ["1", "deleted", "2"]);
}

#[test]
fn a_poison_operation_is_a_dead_letter_after_its_tries_and_stops_no_other_key() {
    let place = Place::new();
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = Arc::clone(&is_mended);
    let sink = Scripted::new(move |operation| {
        match operation.key.as_str() == "poison" && !mended.load(Ordering::SeqCst) {
            true => Act::Refuse,
            false => Act::Apply,
        }
    });
    let journal = place.open(quick().max_tries(3).unwrap(), sink.clone());
    let id = journal.write(&key("poison"), bytes("x"), 1).unwrap();
    for n in 0..20 {
        journal
            .write(&key(&format!("k{n}")), bytes("1"), 1)
            .unwrap();
    }
    assert_eq!(journal.flush(LONG), 0);
    let tries = |sink: &Scripted| {
        let seen = sink.seen.lock().unwrap();
        seen.iter().filter(|one| one.id == id).count()
    };
    assert_eq!(tries(&sink), 3);
    assert_eq!(sink.applied.lock().unwrap().len(), 20);
    let letters = journal.dead_letters(&all());
    assert_eq!(
        (letters.len(), letters[0].tries, &*letters[0].error),
        (1, 3, "no good")
    );
    let health = journal.health();
    assert_eq!(health.state, HealthState::Degraded);
    assert!(
        health
            .reasons
            .iter()
            .any(|reason| reason.code == "dead-letters")
    );
    // A reader is not shown the older value of the source.
    assert!(journal.pending(&key("poison")).unwrap().is_dead);
    // It outlives the process, and is not tried by itself.
    drop(journal);
    let journal = place.open(quick(), sink.clone());
    assert_eq!((journal.flush(LONG), tries(&sink)), (0, 3));
    assert_eq!(journal.dead_letters(&all()), letters);
    is_mended.store(true, Ordering::SeqCst);
    assert_eq!(journal.retry_dead_letters(&all()).unwrap(), 1);
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!((tries(&sink), sink.applied_values("poison").len()), (4, 1));
    assert_eq!(journal.health().state, HealthState::Healthy);
}

#[test]
fn a_dead_letter_is_dropped_on_demand_and_overtaken_by_a_later_write() {
    let place = Place::new();
    let sink = Scripted::new(|operation| match operation.value.as_deref() {
        Some(b"bad") => Act::Refuse,
        _ => Act::Apply,
    });
    let journal = place.open(quick().max_tries(1).unwrap(), sink.clone());
    journal.write(&key("a"), bytes("bad"), 1).unwrap();
    journal.write(&key("b"), bytes("bad"), 1).unwrap();
    assert_eq!((journal.flush(LONG), journal.stats().dead_letters), (0, 2));
    journal.write(&key("a"), bytes("good"), 2).unwrap();
    assert_eq!((journal.flush(LONG), journal.stats().dead_letters), (0, 1));
    assert_eq!(sink.applied_values("a"), ["good"]);
    let dropped = journal.drop_dead_letters(&all()).unwrap();
    assert_eq!(dropped[0].operation.key, key("b"));
    assert_eq!(journal.pending(&key("b")), None);
    drop(journal);
    let journal = place.open(quick(), sink);
    assert_eq!(journal.stats().dead_letters, 0);
    assert_eq!(journal.retry_dead_letters(&all()).unwrap(), 0);
}

#[test]
fn a_later_write_takes_the_place_of_one_that_is_tried_again_and_again() {
    let place = Place::new();
    let sink = Scripted::new(|operation| match operation.value.as_deref() {
        Some(b"bad") => Act::Refuse,
        _ => Act::Apply,
    });
    let journal = place.open(quick().max_tries(1000).unwrap(), sink.clone());
    journal.write(&key("a"), bytes("bad"), 1).unwrap();
    assert_eq!(
        journal.flush(Duration::from_millis(20)),
        1,
        "it is still tried"
    );
    journal.write(&key("a"), bytes("good"), 2).unwrap();
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(sink.applied_values("a"), ["good"]);
}

#[test]
fn a_sink_that_panics_harms_only_the_operation_at_which_it_does() {
    let place = Place::new();
    let sink = Scripted::new(|operation| match operation.key.as_str() {
        "k3" => Act::Panic,
        _ => Act::Apply,
    });
    sink.hold();
    let journal = place.open(quick().max_tries(2).unwrap(), sink.clone());
    for n in 0..6 {
        journal
            .write(&key(&format!("k{n}")), bytes("1"), 1)
            .unwrap();
    }
    sink.let_go();
    assert_eq!(journal.flush(LONG), 0);
    let letters = journal.dead_letters(&all());
    assert_eq!(
        (letters.len(), letters[0].operation.key.as_str()),
        (1, "k3")
    );
    assert!(letters[0].error.contains("at k3"), "{}", letters[0].error);
    for n in [0, 1, 2, 4, 5] {
        assert!(!sink.applied_values(&format!("k{n}")).is_empty(), "k{n}");
    }
}

#[test]
fn a_sink_that_cannot_be_reached_makes_no_dead_letters_and_is_left_alone_for_ever_longer() {
    let place = Place::new();
    let (is_back, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let (back, counted) = (Arc::clone(&is_back), Arc::clone(&calls));
    let sink = Scripted::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        match back.load(Ordering::SeqCst) {
            true => Act::Apply,
            false => Act::Vanish,
        }
    });
    let journal = place.open(quick().max_tries(1).unwrap(), sink.clone());
    journal.write(&key("a"), bytes("1"), 1).unwrap();
    assert_eq!(journal.flush(Duration::from_millis(50)), 1);
    let tried = calls.load(Ordering::SeqCst);
    assert!(
        (2..=60).contains(&tried),
        "{tried} times in 50 ms, with rests up to 4 ms"
    );
    assert_eq!(journal.stats().dead_letters, 0);
    let health = journal.health();
    assert_eq!(
        (health.state, health.reasons[0].code),
        (HealthState::Degraded, "io")
    );
    is_back.store(true, Ordering::SeqCst);
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(journal.health().state, HealthState::Healthy);
}

#[test]
fn a_sink_that_is_silent_about_an_operation_has_not_done_it() {
    struct Silent;
    impl cardex::kv::write_behind::Sink for Silent {
        fn apply(
            &self,
            _: &[cardex::kv::write_behind::Operation],
        ) -> Vec<cardex::kv::write_behind::Outcome> {
            Vec::new()
        }
    }
    let place = Place::new();
    let journal = place.open(quick().max_tries(2).unwrap(), Arc::new(Silent));
    journal.write(&key("a"), bytes("1"), 1).unwrap();
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(journal.dead_letters(&all())[0].tries, 2);
}

#[test]
fn rests_run_on_the_clock_that_never_steps() {
    /// A wall that steps from day to day, over a clock that stands still until told.
    #[derive(Debug, Default)]
    struct Stepping(ManualClock, AtomicU32);
    impl Clock for Stepping {
        fn now(&self) -> chrono::DateTime<chrono::Utc> {
            let step = self.1.fetch_add(1, Ordering::SeqCst);
            let days = if step.is_multiple_of(2) { 1 } else { 10_000 };
            chrono::DateTime::from_timestamp(days * 86_400, 0).unwrap()
        }
        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }
    }
    let (place, clock) = (Place::new(), Arc::new(Stepping::default()));
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let sink = Scripted::new(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Act::Refuse,
        _ => Act::Apply,
    });
    let hour = Duration::from_secs(3600);
    let options = WriteBehindOptions::default().rests(hour, hour).unwrap();
    let clocked = Arc::clone(&clock) as Arc<dyn Clock>;
    let journal = WriteBehind::open(place.file(), options, sink, clocked).unwrap();
    journal.write(&key("a"), bytes("1"), 1).unwrap();
    for tried in 1..=2 {
        while tries.load(Ordering::SeqCst) < tried || journal.stats().failed < tried.into() {
            std::thread::yield_now();
        }
        assert_eq!(journal.flush(Duration::from_millis(20)), 1);
        assert_eq!(
            tries.load(Ordering::SeqCst),
            tried,
            "it rests, whatever the wall says"
        );
        clock.0.advance(hour);
        journal.flush(Duration::ZERO);
    }
    assert_eq!(journal.flush(LONG), 0);
}

#[test]
fn an_effect_is_made_once_by_a_sink_that_keeps_the_number_in_its_transaction() {
    let place = Place::new();
    let sink = Arc::new(SqliteSink::open(&place.0.path().join("source.db")));
    let journal = place.open(quick(), sink.clone());
    for n in 1..=3 {
        journal.write(&key("a"), bytes("1"), n).unwrap();
        assert_eq!(journal.flush(LONG), 0);
    }
    // The same again, as after a death between its commit and the journal's.
    let (_, number, version) = sink.effects().pop().unwrap();
    let repeated = cardex::kv::write_behind::Operation {
        id: cardex::kv::write_behind::OperationId {
            journal: journal.write(&key("b"), None, 1).unwrap().journal,
            number,
        },
        key: key("a"),
        value: bytes("1"),
        version,
    };
    let again = sink.apply_with(&[repeated], &|_| {});
    assert!(matches!(
        again[..],
        [cardex::kv::write_behind::Outcome::Applied]
    ));
    assert_eq!(journal.flush(LONG), 0);
    let effects = sink.effects();
    assert_eq!(effects.iter().filter(|effect| effect.0 == "a").count(), 3);
}

#[test]
fn after_the_end_nothing_is_accepted_and_what_is_left_is_delivered_after_the_next_start() {
    let place = Place::new();
    let never = Scripted::new(|_| Act::Vanish);
    let journal = place.open(quick(), never);
    let ids: Vec<_> = (0..5)
        .map(|n| {
            journal
                .write(&key(&format!("k{n}")), bytes("1"), n)
                .unwrap()
        })
        .collect();
    assert_eq!((journal.shutdown(), journal.shutdown()), (5, 0));
    let error = journal.write(&key("a"), None, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotInitialized);
    let error = journal.retry_dead_letters(&all()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotInitialized);
    assert_eq!(journal.health().state, HealthState::Unhealthy);
    assert_eq!(journal.stats().dead_letters, 0);
    let sink = Scripted::applying();
    let journal = place.open(quick(), sink.clone());
    assert_eq!(journal.flush(LONG), 0);
    assert_eq!(journal.stats().replayed, 5);
    let seen: Vec<_> = sink.seen.lock().unwrap().iter().map(|one| one.id).collect();
    assert_eq!(
        seen, ids,
        "the same operations, under the same names, in their order"
    );
}

#[test]
fn the_end_delivers_what_it_can_and_is_not_held_up_for_ever() {
    let (place, sink) = (Place::new(), Scripted::applying());
    let journal = place.open(quick().shutdown_wait(LONG), sink.clone());
    for n in 0..1000 {
        journal
            .write(&key(&format!("k{}", n % 300)), bytes("1"), n)
            .unwrap();
    }
    assert_eq!(journal.shutdown(), 0);
    let journal = place.open(quick().shutdown_wait(Duration::ZERO), sink.clone());
    sink.hold();
    journal.write(&key("a"), bytes("1"), 1).unwrap();
    sink.wait_until_holding();
    let start = std::time::Instant::now();
    assert_eq!(journal.shutdown(), 1);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    sink.let_go();
}
