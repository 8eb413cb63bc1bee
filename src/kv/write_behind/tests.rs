//! The queue against a naive model, and the order of its operations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::backoff::Backoff;
use super::operation::{OperationId, Outcome};
use super::queue::{Asked, Held, Limits, Queue};
use crate::clock::{Clock as _, ManualClock};
use crate::error::{Error, ErrorKind};
use crate::tier::Key;

const LIMITS: Limits = Limits {
    operations: 6,
    bytes: 3000,
};

fn asked(key: u8, length: usize) -> Asked {
    Asked {
        key: Key::new(&format!("k{key}")).unwrap(),
        value: (length > 0).then(|| vec![7; length].into()),
        version: 0,
    }
}

fn refusal() -> Outcome {
    Outcome::Refused(Error::new(ErrorKind::InvalidInput, "no"))
}

/// What is known of a key: the numbers that are not done, and which of them is with the sink.
#[derive(Debug, Default)]
struct Model {
    waiting: BTreeMap<Key, u64>,
    with_sink: BTreeMap<Key, u64>,
    dead: BTreeMap<Key, u64>,
    /// The last number that came to the sink, by key.
    last_seen: BTreeMap<Key, u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, usize)>),
    Take(usize),
    /// What comes back: 0 done, 1 refused, 2 unavailable.
    Return(Vec<u8>),
    Wait(u64),
    Revive,
    Bury,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = prop::collection::vec((0..5_u8, 0..400_usize), 1..4).prop_map(Step::Write);
    let outcomes = prop::collection::vec(0..3_u8, 8).prop_map(Step::Return);
    let step = prop_oneof![
        4 => write,
        3 => (1..4_usize).prop_map(Step::Take),
        3 => outcomes,
        2 => (0..50_u64).prop_map(Step::Wait),
        1 => Just(Step::Revive),
        1 => Just(Step::Bury),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn what_is_accepted_is_done_once_in_order_or_dead_or_overtaken(steps in steps()) {
        let clock = ManualClock::new();
        let (mut queue, mut model) = (Queue::default(), Model::default());
        let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(8));
        let (mut number, mut out) = (0, Vec::new());
        for step in steps {
            match step {
                Step::Write(writes) => {
                    let writes: Vec<Asked> = writes.iter().map(|(k, n)| asked(*k, *n)).collect();
                    let refs: Vec<&Asked> = writes.iter().collect();
                    let (planned, ids) = queue.plan(&refs, LIMITS, || {
                        number += 1;
                        OperationId { journal: 1, number }
                    });
                    for (write, id) in writes.iter().zip(&ids) {
                        if let Some(id) = id {
                            model.waiting.insert(write.key.clone(), id.number);
                            model.dead.remove(&write.key);
                        }
                    }
                    for planned in planned {
                        queue.accept(Held { operation: planned.operation, tries: 0 });
                    }
                }
                Step::Take(most) if out.is_empty() => {
                    out = queue.take(most, clock.elapsed());
                    for operation in &out {
                        let (key, number) = (&operation.key, operation.id.number);
                        prop_assert_eq!(model.waiting.remove(key), Some(number));
                        prop_assert_eq!(model.with_sink.insert(key.clone(), number), None);
                        let last = model.last_seen.insert(key.clone(), number);
                        prop_assert!(last <= Some(number), "{:?} after {:?}", number, last);
                    }
                }
                Step::Take(_) => {}
                Step::Return(outcomes) => {
                    let returned: Vec<_> = std::mem::take(&mut out).into_iter().zip(outcomes.into_iter().map(|n| match n {
                        0 => Outcome::Applied,
                        1 => refusal(),
                        _ => Outcome::Unavailable(Error::new(ErrorKind::Io, "gone")),
                    })).collect();
                    let is_down = !returned.is_empty() && returned.iter().all(|(_, o)| matches!(o, Outcome::Unavailable(_)));
                    let kinds: Vec<bool> = returned.iter().map(|(_, o)| matches!(o, Outcome::Applied)).collect();
                    let judged = queue.judge(returned, 2);
                    for ((operation, verdict), is_applied) in judged.iter().zip(kinds) {
                        let (key, number) = (&operation.key, operation.id.number);
                        model.with_sink.remove(key);
                        match verdict {
                            super::queue::Verdict::Done => prop_assert!(is_applied),
                            super::queue::Verdict::Overtaken => prop_assert!(model.waiting[key] > number),
                            super::queue::Verdict::Again(_) => {
                                prop_assert_eq!(model.waiting.insert(key.clone(), number), None);
                            }
                            super::queue::Verdict::Dead(tries, _) => {
                                prop_assert_eq!(*tries, 2);
                                model.dead.insert(key.clone(), number);
                            }
                        }
                    }
                    queue.settle(judged, is_down, clock.now(), clock.elapsed(), backoff);
                }
                Step::Wait(ms) => clock.advance(Duration::from_millis(ms)),
                Step::Revive => {
                    let letters = queue.dead_letters(&crate::tier::KeyPattern::new("*").unwrap());
                    queue.revive(&letters);
                    model.waiting.append(&mut model.dead);
                }
                Step::Bury => {
                    let letters = queue.dead_letters(&crate::tier::KeyPattern::new("k1").unwrap());
                    queue.bury(&letters);
                    model.dead.remove(&Key::new("k1").unwrap());
                }
            }
            let held = model.waiting.len() + model.with_sink.len() + model.dead.len();
            prop_assert_eq!((queue.len(), queue.dead()), (held, model.dead.len()));
            prop_assert!(queue.len() <= LIMITS.operations && queue.bytes() <= LIMITS.bytes);
            for key in 0..5 {
                let key = asked(key, 0).key;
                let newest = queue.newest(&key).map(|pending| pending.operation.id.number);
                let known = [&model.waiting, &model.with_sink, &model.dead];
                prop_assert_eq!(newest, known.iter().find_map(|map| map.get(&key).copied()));
            }
            prop_assert_eq!(queue.bytes() == 0, queue.len() == 0);
        }
        // Everything comes to an end: nothing is stuck.
        for _ in 0..200 {
            clock.advance(Duration::from_millis(10));
            let batch = std::mem::take(&mut out);
            let batch = if batch.is_empty() { queue.take(3, clock.elapsed()) } else { batch };
            let judged = queue.judge(batch.into_iter().map(|o| (o, Outcome::Applied)).collect(), 2);
            queue.settle(judged, false, clock.now(), clock.elapsed(), backoff);
        }
        prop_assert_eq!(queue.len(), queue.dead());
        prop_assert_eq!(queue.next_due(clock.elapsed()), None);
    }
}

#[test]
fn a_write_that_takes_no_more_room_than_before_is_accepted_when_it_is_full() {
    let mut queue = Queue::default();
    let mut number = 0;
    let mut write = |queue: &mut Queue, asked: &Asked| {
        let (planned, ids) = queue.plan(&[asked], LIMITS, || {
            number += 1;
            OperationId { journal: 1, number }
        });
        for planned in planned {
            queue.accept(Held {
                operation: planned.operation,
                tries: 0,
            });
        }
        ids[0].is_some()
    };
    for key in 0..6 {
        assert!(write(&mut queue, &asked(key, 10)));
    }
    assert!(!write(&mut queue, &asked(6, 10)), "by count");
    assert!(write(&mut queue, &asked(3, 10)) && write(&mut queue, &asked(3, 0)));
    assert!(!write(&mut queue, &asked(3, 2500)), "by bytes");
    // What is with the sink is not overwritten: its successor needs room of its own.
    let taken = queue.take(1, Duration::ZERO);
    assert!(!write(
        &mut queue,
        &Asked {
            value: Some(Arc::from([1])),
            ..asked(0, 0)
        }
    ));
    assert_eq!(taken[0].key.as_str(), "k0");
}
