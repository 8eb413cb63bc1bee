//! What was acknowledged and is not yet done, in memory: plain values, without a lock, a clock or I/O.
//! The journal holds the same, and is written first: whoever plans a change here writes it there, and
//! only then makes it here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hashbrown::HashMap;

use super::backoff::Backoff;
use super::operation::{Operation, OperationId, Outcome, weight};
use crate::error::Error;
use crate::tier::{Key, KeyPattern};

/// An operation that was tried so often that it is tried no more, until somebody says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What could not be done.
    pub operation: Operation,
    /// How often it was tried.
    pub tries: u32,
    /// What the sink said of the last try, with its causes.
    pub error: String,
    /// When that was.
    pub died_at: DateTime<Utc>,
}

/// The newest value of a key that was acknowledged, and that the source may not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What is to be written.
    pub operation: Operation,
    /// Whether it is a dead letter: nobody tries to write it any more.
    pub is_dead: bool,
}

/// How much may be acknowledged and not done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) operations: usize,
    pub(super) bytes: u64,
}

/// A write that asks to be accepted.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) key: Key,
    pub(super) value: Option<Arc<[u8]>>,
    pub(super) version: u64,
}

impl Asked {
    pub(super) fn bytes(&self) -> u64 {
        weight(&self.key, self.value.as_deref())
    }
}

/// An operation that is to be written to the journal, in place of the one with this number.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) operation: Operation,
    pub(super) replaces: Option<u64>,
}

/// What is to become of an operation that came back from the sink.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It is done.
    Done,
    /// It failed, and a later one of its key makes it needless.
    Overtaken,
    /// It is tried again; so many tries count so far.
    Again(u32),
    /// It is tried no more.
    Dead(u32, Error),
}

/// An operation, and how many tries count so far.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) operation: Operation,
    pub(super) tries: u32,
}

/// The operations of one key: at most one with the sink, and at most one behind it; or a dead one alone.
#[derive(Debug, Default)]
struct Slot {
    delivering: Option<Held>,
    waiting: Option<Held>,
    dead: Option<DeadLetter>,
    /// Deliveries of the key that failed in a row, and until when it rests after them.
    failures: u32,
    rests_until: Option<Duration>,
}

/// All of them. Times are those of a clock that never goes back.
#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: HashMap<Key, Slot>,
    /// Those that wait and may be delivered, by number.
    ready: BTreeMap<u64, Key>,
    /// Those that wait, and rest before that.
    resting: BTreeMap<(Duration, u64), Key>,
    /// Those that are with the sink, by number.
    with_sink: BTreeMap<u64, Operation>,
    /// Those that wait or are with the sink.
    undelivered: BTreeSet<u64>,
    /// How many of `slots` hold a dead letter.
    dead: usize,
    bytes: u64,
    /// Deliveries in a row in which the sink could not be reached, and until when it is left alone.
    sink_failures: u32,
    sink_rests_until: Option<Duration>,
}

impl Queue {
    /// Operations that were accepted and are not done, the dead ones too.
    pub(super) fn len(&self) -> usize {
        self.undelivered.len() + self.dead
    }

    /// What they weigh.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of them are dead.
    pub(super) fn dead(&self) -> usize {
        self.dead
    }

    /// The greatest number of those that are neither done nor dead.
    pub(super) fn last_number(&self) -> u64 {
        self.undelivered.last().copied().unwrap_or(0)
    }

    /// How many are neither done nor dead, up to this number.
    pub(super) fn undelivered_up_to(&self, number: u64) -> usize {
        self.undelivered.range(..=number).count()
    }

    /// What the next reader of the key is to see.
    pub(super) fn newest(&self, key: &Key) -> Option<Pending> {
        let slot = self.slots.get(key)?;
        let held = slot.waiting.as_ref().or(slot.delivering.as_ref());
        let dead = || slot.dead.as_ref().map(|letter| (&letter.operation, true));
        let (operation, is_dead) = held.map(|held| (&held.operation, false)).or_else(dead)?;
        Some(Pending {
            operation: operation.clone(),
            is_dead,
        })
    }

    /// The dead letters, by key.
    pub(super) fn dead_letters(&self, pattern: &KeyPattern) -> Vec<DeadLetter> {
        let letters = self.slots.values().filter_map(|slot| slot.dead.as_ref());
        let matches = |letter: &&DeadLetter| pattern.matches(letter.operation.key.as_str());
        let mut letters: Vec<DeadLetter> = letters.filter(matches).cloned().collect();
        letters.sort_by(|a, b| a.operation.key.cmp(&b.operation.key));
        letters
    }

    /// Puts in what the journal held at the start, the earlier ones first. Returns the number of one
    /// that this one overtakes: the journal need not keep that.
    pub(super) fn restore(&mut self, held: Held) -> Option<u64> {
        let overtaken = self.replaced_by(&held.operation.key);
        let overtaken = overtaken.map(|operation| operation.id.number);
        self.accept(held);
        overtaken
    }

    /// As [`Queue::restore`], of a dead letter.
    pub(super) fn restore_dead(&mut self, letter: DeadLetter) {
        self.bytes += letter.operation.bytes();
        let slot = self.slots.entry(letter.operation.key.clone()).or_default();
        slot.dead = Some(letter);
        self.dead += 1;
    }

    /// Whether this one could be accepted now.
    pub(super) fn has_room(&self, asked: &Asked, limits: Limits) -> bool {
        let replaced = self.replaced_by(&asked.key);
        Room::of(self).take(asked.bytes(), replaced.map(Operation::bytes), limits)
    }

    /// Decides who of these is accepted, in their order, and what of that the journal has to write: the
    /// last of each key. The ids are those of the accepted ones.
    pub(super) fn plan(
        &self,
        asked: &[&Asked],
        limits: Limits,
        mut next_id: impl FnMut() -> OperationId,
    ) -> (Vec<Planned>, Vec<Option<OperationId>>) {
        let mut planned: Vec<Planned> = Vec::new();
        let mut by_key: HashMap<&Key, usize> = HashMap::new();
        let mut room = Room::of(self);
        let mut ids = Vec::with_capacity(asked.len());
        for asked in asked {
            let before = by_key.get(&asked.key).map(|at| &planned[*at].operation);
            let replaced = before.or_else(|| self.replaced_by(&asked.key));
            if !room.take(asked.bytes(), replaced.map(Operation::bytes), limits) {
                ids.push(None);
                continue;
            }
            let operation = Operation {
                id: next_id(),
                key: asked.key.clone(),
                value: asked.value.clone(),
                version: asked.version,
            };
            ids.push(Some(operation.id));
            if let Some(at) = by_key.get(&asked.key) {
                planned[*at].operation = operation;
            } else {
                let replaces = self.replaced_by(&asked.key).map(|old| old.id.number);
                by_key.insert(&asked.key, planned.len());
                planned.push(Planned {
                    operation,
                    replaces,
                });
            }
        }
        // A key that was asked for twice stands where it was first: the numbers decide.
        planned.sort_by_key(|planned| planned.operation.id.number);
        (planned, ids)
    }

    /// The operation that another one of the key takes the place of: one with the sink is none.
    fn replaced_by(&self, key: &Key) -> Option<&Operation> {
        let slot = self.slots.get(key)?;
        let dead = slot.dead.as_ref().map(|letter| &letter.operation);
        slot.waiting.as_ref().map(|held| &held.operation).or(dead)
    }

    /// Puts in what the journal has written.
    pub(super) fn accept(&mut self, held: Held) {
        let (key, number) = (held.operation.key.clone(), held.operation.id.number);
        self.bytes += held.operation.bytes();
        let slot = self.slots.entry(key.clone()).or_default();
        let rest = slot.rests_until;
        if let Some(old) = slot.waiting.replace(held) {
            let old = old.operation;
            self.bytes -= old.bytes();
            self.undelivered.remove(&old.id.number);
            self.ready.remove(&old.id.number);
            if let Some(until) = rest {
                self.resting.remove(&(until, old.id.number));
            }
        }
        if let Some(letter) = slot.dead.take() {
            self.bytes -= letter.operation.bytes();
            self.dead -= 1;
        }
        self.undelivered.insert(number);
        self.schedule(&key);
    }

    /// Puts the waiting operation of a key where it belongs, unless one is with the sink.
    fn schedule(&mut self, key: &Key) {
        let Some(slot) = self.slots.get(key) else {
            return;
        };
        let Some(waiting) = slot.waiting.as_ref().filter(|_| slot.delivering.is_none()) else {
            return;
        };
        let number = waiting.operation.id.number;
        match slot.rests_until {
            Some(until) => self.resting.insert((until, number), key.clone()),
            None => self.ready.insert(number, key.clone()),
        };
    }

    /// Hands out the next ones for the sink, in their order, at most so many. Those that it has, and of
    /// which nothing could be written down when they came back, are handed out again, all of them.
    pub(super) fn take(&mut self, most: usize, now: Duration) -> Vec<Operation> {
        if most == 0 || self.sink_rests_until.is_some_and(|until| until > now) {
            return Vec::new();
        }
        if !self.with_sink.is_empty() {
            return self.with_sink.values().cloned().collect();
        }
        while let Some(first) = self.resting.first_entry().filter(|e| e.key().0 <= now) {
            let number = first.key().1;
            let key = first.remove();
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.rests_until = None;
            }
            self.ready.insert(number, key);
        }
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((_, key)) = self.ready.pop_first()
        {
            let slot = self.slots.get_mut(&key);
            let held = slot.and_then(|slot| {
                slot.delivering = slot.waiting.take();
                slot.delivering.as_ref()
            });
            if let Some(held) = held {
                let operation = held.operation.clone();
                self.with_sink
                    .insert(operation.id.number, operation.clone());
                taken.push(operation);
            }
        }
        taken
    }

    /// How long until there is something to deliver; `None` if nothing waits.
    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        let resting = self.resting.first_key_value().map(|((until, _), _)| *until);
        let is_ready = !self.ready.is_empty() || !self.with_sink.is_empty();
        let ready = is_ready.then_some(now);
        let next = [resting, ready].into_iter().flatten().min()?;
        Some(
            next.max(self.sink_rests_until.unwrap_or(now))
                .saturating_sub(now),
        )
    }

    /// Decides what becomes of what came back from the sink.
    pub(super) fn judge(
        &self,
        returned: Vec<(Operation, Outcome)>,
        most_tries: u32,
    ) -> Vec<(Operation, Verdict)> {
        let judged = returned.into_iter().map(|(operation, outcome)| {
            let slot = self.slots.get(&operation.key);
            let tries = slot.and_then(|slot| Some(slot.delivering.as_ref()?.tries));
            let tries = tries.unwrap_or(0);
            let is_overtaken = slot.is_some_and(|slot| slot.waiting.is_some());
            let verdict = match outcome {
                Outcome::Applied => Verdict::Done,
                _ if is_overtaken => Verdict::Overtaken,
                Outcome::Refused(error) if tries + 1 >= most_tries => {
                    Verdict::Dead(tries + 1, error)
                }
                Outcome::Refused(_) => Verdict::Again(tries + 1),
                Outcome::Unavailable(_) => Verdict::Again(tries),
            };
            (operation, verdict)
        });
        judged.collect()
    }

    /// Does what was decided, and written to the journal. A key that failed rests for a while; if the
    /// sink could not be reached at all, the sink does, and no key.
    pub(super) fn settle(
        &mut self,
        judged: Vec<(Operation, Verdict)>,
        is_sink_down: bool,
        died_at: DateTime<Utc>,
        now: Duration,
        backoff: Backoff,
    ) {
        if is_sink_down {
            self.rest_sink(now, backoff);
        } else {
            (self.sink_failures, self.sink_rests_until) = (0, None);
        }
        for (operation, verdict) in judged {
            let Some(slot) = self.slots.get_mut(&operation.key) else {
                continue;
            };
            let number = operation.id.number;
            let is_back = matches!(verdict, Verdict::Again(_));
            match verdict {
                Verdict::Done => (slot.failures, slot.rests_until) = (0, None),
                Verdict::Overtaken | Verdict::Again(_) if is_sink_down => {}
                Verdict::Overtaken | Verdict::Again(_) => {
                    slot.failures = slot.failures.saturating_add(1);
                    slot.rests_until = Some(now.saturating_add(backoff.after(slot.failures)));
                }
                Verdict::Dead(..) => (slot.failures, slot.rests_until) = (0, None),
            }
            slot.delivering = None;
            self.with_sink.remove(&number);
            match verdict {
                Verdict::Again(tries) => {
                    slot.waiting = Some(Held {
                        operation: operation.clone(),
                        tries,
                    });
                }
                Verdict::Dead(tries, error) => {
                    slot.dead = Some(DeadLetter {
                        operation: operation.clone(),
                        tries,
                        error: format!("{error:#}"),
                        died_at,
                    });
                    self.dead += 1;
                }
                Verdict::Done | Verdict::Overtaken => self.bytes -= operation.bytes(),
            }
            if !is_back {
                self.undelivered.remove(&number);
            }
            self.schedule(&operation.key);
            self.drop_if_empty(&operation.key);
        }
    }

    /// Nothing came of what is with the sink: it is left alone for a while.
    pub(super) fn rest_sink(&mut self, now: Duration, backoff: Backoff) {
        self.sink_failures = self.sink_failures.saturating_add(1);
        self.sink_rests_until = Some(now.saturating_add(backoff.after(self.sink_failures)));
    }

    /// Tries these dead letters again, as new ones.
    pub(super) fn revive(&mut self, letters: &[DeadLetter]) {
        for letter in letters {
            self.accept(Held {
                operation: letter.operation.clone(),
                tries: 0,
            });
        }
    }

    /// Forgets these dead letters.
    pub(super) fn bury(&mut self, letters: &[DeadLetter]) {
        for letter in letters {
            let key = &letter.operation.key;
            if let Some(slot) = self.slots.get_mut(key)
                && slot.dead.take().is_some()
            {
                self.bytes -= letter.operation.bytes();
                self.dead -= 1;
            }
            self.drop_if_empty(key);
        }
    }

    fn drop_if_empty(&mut self, key: &Key) {
        let is_empty = |slot: &Slot| {
            slot.delivering.is_none() && slot.waiting.is_none() && slot.dead.is_none()
        };
        if self.slots.get(key).is_some_and(is_empty) {
            self.slots.remove(key);
        }
    }
}

/// What is taken of the room.
#[derive(Clone, Copy, Debug)]
struct Room {
    operations: usize,
    bytes: u64,
}

impl Room {
    fn of(queue: &Queue) -> Self {
        Room {
            operations: queue.len(),
            bytes: queue.bytes,
        }
    }

    /// Takes room for one of this weight in place of one of that weight; false, and nothing is taken,
    /// if that is above a limit. What takes no more than before always has room.
    fn take(&mut self, bytes: u64, replaced: Option<u64>, limits: Limits) -> bool {
        let operations = self.operations + usize::from(replaced.is_none());
        let after = self.bytes + bytes - replaced.unwrap_or(0);
        let is_over = (operations > limits.operations && operations > self.operations)
            || (after > limits.bytes && after > self.bytes);
        if !is_over {
            (self.operations, self.bytes) = (operations, after);
        }
        !is_over
    }
}
