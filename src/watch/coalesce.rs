//! `Coalescer`: from a stream of events to paths that are due. Pure: it is told the time, and decides
//! when a path has been quiet for long enough, or has waited for long enough.
//!
//! A pending path stands for everything below it. An event is only a doorbell: whoever takes a path that
//! is due looks at what is there.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It appeared: made, or renamed to this name.
    Created,
    /// It was there before and is there now.
    Modified,
    /// It went: removed, or renamed to another name.
    Deleted,
}

/// What a series of events came to: whether the path was there before the first and after the last one.
/// Created and deleted is nothing; deleted and created is modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    began_absent: bool,
    ended_absent: bool,
}

impl Fate {
    const MODIFIED: Fate = Fate {
        began_absent: false,
        ended_absent: false,
    };

    fn of(event: Event) -> Fate {
        Fate {
            began_absent: event == Event::Created,
            ended_absent: event == Event::Deleted,
        }
    }

    fn then(self, later: Fate) -> Fate {
        Fate {
            began_absent: self.began_absent,
            ended_absent: later.ended_absent,
        }
    }

    /// Whether nothing is to be done unless a record of the path is known: a name that was taken anew may
    /// have had one.
    pub(super) fn is_nothing(self) -> bool {
        self.began_absent && self.ended_absent
    }
}

/// A path whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// From the root; the root itself is empty.
    pub(super) path: String,
    /// When its first event came.
    pub(super) first: Duration,
    last: Duration,
    at_once: bool,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Duration,
    last: Duration,
    /// Due without any delay.
    at_once: bool,
    fate: Fate,
}

/// The paths that wait. At most `capacity` of them: beyond that, the directory above takes the place of
/// all that waits below it, and at last the root that of everything.
#[derive(Debug)]
pub(super) struct Coalescer {
    debounce: Duration,
    max_delay: Duration,
    capacity: usize,
    /// No path of these is below another one.
    pending: BTreeMap<String, Pending>,
    /// Events that joined a path which waited already.
    pub(super) coalesced: u64,
    /// How often there were too many paths.
    pub(super) crowded: u64,
}

impl Coalescer {
    /// A path is due at the earlier of: `debounce` after its last event, `max_delay` after its first one.
    pub(super) fn new(debounce: Duration, max_delay: Duration, capacity: usize) -> Self {
        Coalescer {
            debounce,
            max_delay,
            capacity: capacity.max(1),
            pending: BTreeMap::new(),
            coalesced: 0,
            crowded: 0,
        }
    }

    /// Something happened to a path. Times may go back by moments: what has an earlier time came first.
    pub(super) fn event(&mut self, now: Duration, path: &str, event: Event) {
        self.put(path, Pending::at(now, Fate::of(event)));
    }

    /// A path is to be looked at without delay.
    pub(super) fn at_once(&mut self, now: Duration, path: &str) {
        let at_once = true;
        let pending = Pending::at(now, Fate::MODIFIED);
        self.put(path, Pending { at_once, ..pending });
    }

    /// What was due and could not be done waits again, as if it had not been taken.
    pub(super) fn put_back(&mut self, due: Vec<Due>) {
        for due in due {
            let Due {
                path,
                first,
                last,
                at_once,
                fate,
            } = due;
            let older = Pending {
                first,
                last,
                at_once,
                fate,
            };
            self.put(&path, older);
        }
    }

    /// When the next path is due; none if nothing waits.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let deadlines = self.pending.values().map(|pending| self.due_at(pending));
        deadlines.min()
    }

    /// Takes every path that is due, in path order.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<Due> {
        let (debounce, max_delay) = (self.debounce, self.max_delay);
        let due = self
            .pending
            .extract_if(.., |_, pending| pending.due_at(debounce, max_delay) <= now);
        due.map(|(path, pending)| Due {
            path,
            first: pending.first,
            last: pending.last,
            at_once: pending.at_once,
            fate: pending.fate,
        })
        .collect()
    }

    /// Forgets everything that waits.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// How many paths wait.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    fn due_at(&self, pending: &Pending) -> Duration {
        pending.due_at(self.debounce, self.max_delay)
    }

    fn put(&mut self, path: &str, new: Pending) {
        let above = ancestors(path).find(|above| self.pending.contains_key(*above));
        if let Some(above) = above.and_then(|above| self.pending.get_mut(above)) {
            self.coalesced += 1;
            // There is something below it: it is there itself.
            *above = above.joined_by(new, Fate::MODIFIED);
            return;
        }
        if let Some(same) = self.pending.get_mut(path) {
            self.coalesced += 1;
            *same = same.joined_by(new, new.fate);
            return;
        }
        let mut new = new;
        for below in self.take_below(path) {
            self.coalesced += 1;
            let fate = Fate {
                // What was there below it was there before the first event.
                began_absent: false,
                ..new.fate
            };
            new = Pending {
                fate,
                ..new.joined_by(below, fate)
            };
        }
        if self.pending.len() >= self.capacity
            && let Some(above) = ancestors(path).last()
        {
            self.crowded += 1;
            let fate = Fate::MODIFIED;
            self.put(above, Pending { fate, ..new });
            return;
        }
        self.pending.insert(path.to_owned(), new);
    }

    fn take_below(&mut self, path: &str) -> Vec<Pending> {
        let (first, end) = match path {
            "" => (String::new(), Bound::Unbounded),
            // What follows `/` among bytes is `0`.
            path => (format!("{path}/"), Bound::Excluded(format!("{path}0"))),
        };
        let below = self
            .pending
            .extract_if((Bound::Included(first), end), |_, _| true);
        below.map(|(_, pending)| pending).collect()
    }
}

impl Pending {
    fn at(now: Duration, fate: Fate) -> Pending {
        Pending {
            first: now,
            last: now,
            at_once: false,
            fate,
        }
    }

    fn due_at(&self, debounce: Duration, max_delay: Duration) -> Duration {
        match self.at_once {
            true => self.first,
            false => (self.last + debounce).min(self.first + max_delay),
        }
    }

    /// The same after another one, whichever of the two began first: what could not be done comes back
    /// after what came since.
    fn joined_by(self, other: Pending, fate: Fate) -> Pending {
        let (older, newer) = match other.first < self.first {
            true => (fate, self.fate),
            false => (self.fate, fate),
        };
        Pending {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            at_once: self.at_once || other.at_once,
            fate: older.then(newer),
        }
    }
}

/// The directories above a path, the root first; none above the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let root = (!path.is_empty()).then_some("");
    let others = path.match_indices('/').map(|(at, _)| &path[..at]);
    root.into_iter().chain(others)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Clock, ManualClock};

    const DEBOUNCE: Duration = Duration::from_millis(100);
    const MAX_DELAY: Duration = Duration::from_millis(1000);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn coalescer() -> Coalescer {
        Coalescer::new(DEBOUNCE, MAX_DELAY, 1000)
    }

    fn paths(due: &[Due]) -> Vec<&str> {
        due.iter().map(|due| due.path.as_str()).collect()
    }

    #[test]
    fn a_path_is_due_when_it_has_been_quiet_or_has_waited_for_long_enough() {
        let clock = ManualClock::new();
        let mut coalescer = coalescer();
        for _ in 0..13 {
            coalescer.event(clock.elapsed(), "a", Event::Modified);
            assert_eq!(coalescer.take_due(clock.elapsed()), []);
            clock.advance(ms(75));
        }
        // The last event came at 900 ms, the first one at 0.
        assert_eq!(coalescer.deadline(), Some(ms(1000)));
        assert_eq!(coalescer.take_due(ms(999)), []);
        assert_eq!(paths(&coalescer.take_due(ms(1000))), ["a"]);
        assert_eq!(coalescer.deadline(), None);
        coalescer.event(ms(2000), "b", Event::Modified);
        assert_eq!(coalescer.deadline(), Some(ms(2100)));
    }

    #[test]
    fn created_and_deleted_is_nothing_and_deleted_and_created_is_modified() {
        let fate = |events: &[Event]| {
            let mut coalescer = coalescer();
            for event in events {
                coalescer.event(ms(0), "a", *event);
            }
            coalescer.take_due(ms(100))[0].fate
        };
        use Event::{Created, Deleted, Modified};
        assert!(fate(&[Created, Deleted]).is_nothing());
        assert!(fate(&[Created, Modified, Deleted, Created, Deleted]).is_nothing());
        assert_eq!(fate(&[Deleted, Created]), Fate::MODIFIED);
        assert!(!fate(&[Modified, Deleted]).is_nothing());
        assert!(!fate(&[Deleted]).is_nothing());
        assert!(!fate(&[Created, Deleted, Created]).is_nothing());
    }

    #[test]
    fn a_rename_is_both_names_and_a_half_without_a_partner_is_one() {
        let mut coalescer = coalescer();
        coalescer.event(ms(0), "old", Event::Deleted);
        coalescer.event(ms(0), "new", Event::Created);
        coalescer.event(ms(0), "came", Event::Created);
        let due = coalescer.take_due(ms(100));
        assert_eq!(paths(&due), ["came", "new", "old"]);
        assert!(due.iter().all(|due| !due.fate.is_nothing()));
    }

    #[test]
    fn a_directory_stands_for_what_is_below_it_and_for_nothing_beside_it() {
        let mut coalescer = coalescer();
        for path in ["a", "a-b", "a/x/1", "a/x/2", "a/x.rs", "a0", "a/y"] {
            coalescer.event(ms(0), path, Event::Modified);
        }
        assert_eq!(paths(&coalescer.take_due(ms(100))), ["a", "a-b", "a0"]);
        for path in ["a/x/1", "a/x.rs", "a/x"] {
            coalescer.event(ms(200), path, Event::Created);
        }
        let due = coalescer.take_due(ms(300));
        assert_eq!(paths(&due), ["a/x", "a/x.rs"]);
        coalescer.event(ms(400), "a/x/1", Event::Deleted);
        coalescer.event(ms(400), "a", Event::Created);
        coalescer.event(ms(400), "a", Event::Deleted);
        let due = coalescer.take_due(ms(500));
        assert!(!due[0].fate.is_nothing(), "there was something below it");
    }

    #[test]
    fn too_many_paths_become_their_directory_and_then_the_root() {
        let mut coalescer = Coalescer::new(DEBOUNCE, MAX_DELAY, 3);
        for path in ["a/1", "a/2", "b/1", "a/3"] {
            coalescer.event(ms(0), path, Event::Modified);
        }
        assert_eq!(coalescer.crowded, 1);
        coalescer.event(ms(0), "c/d/e", Event::Modified);
        coalescer.event(ms(0), "f/g/h", Event::Modified);
        assert_eq!(paths(&coalescer.take_due(ms(100))), [""]);
        assert_eq!(coalescer.len(), 0);
    }

    #[test]
    fn what_could_not_be_done_waits_again_with_what_came_since() {
        let mut coalescer = coalescer();
        coalescer.event(ms(0), "a", Event::Created);
        coalescer.event(ms(0), "b", Event::Created);
        let due = coalescer.take_due(ms(100));
        coalescer.event(ms(150), "a", Event::Deleted);
        coalescer.put_back(due);
        let due = coalescer.take_due(ms(150));
        assert_eq!(paths(&due), ["b"], "a has not been quiet");
        let due = coalescer.take_due(ms(250));
        assert_eq!(paths(&due), ["a"]);
        assert!(due[0].fate.is_nothing());
    }

    #[test]
    fn what_is_at_once_waits_for_nothing() {
        let mut coalescer = coalescer();
        coalescer.event(ms(0), "a", Event::Modified);
        coalescer.at_once(ms(10), "");
        assert_eq!(paths(&coalescer.take_due(ms(10))), [""]);
    }

    /// What the coalescer promises, by lists that are searched from end to end.
    #[derive(Default)]
    struct Naive {
        waiting: Vec<(String, Duration, Duration, Fate)>,
    }

    impl Naive {
        fn event(&mut self, now: Duration, path: &str, event: Event) {
            let is_below = |inner: &str, outer: &str| {
                inner != outer && (outer.is_empty() || inner.starts_with(&format!("{outer}/")))
            };
            let fate = Fate::of(event);
            for (other, _, last, known) in &mut self.waiting {
                if is_below(path, other) {
                    (*last, known.ended_absent) = (now, false);
                    return;
                }
                if path == other {
                    (*last, known.ended_absent) = (now, fate.ended_absent);
                    return;
                }
            }
            let (below, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|(other, ..)| is_below(other, path));
            self.waiting = others;
            let first = below.iter().map(|(_, first, ..)| *first).min();
            let began_absent = fate.began_absent && below.is_empty();
            let fate = Fate {
                began_absent,
                ..fate
            };
            let entry = (path.to_owned(), first.unwrap_or(now), now, fate);
            self.waiting.push(entry);
        }

        fn take_due(&mut self, now: Duration) -> Vec<(String, Fate)> {
            let is_due = |first: Duration, last: Duration| {
                last + DEBOUNCE <= now || first + MAX_DELAY <= now
            };
            let (due, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|(_, first, last, _)| is_due(*first, *last));
            self.waiting = rest;
            let mut due: Vec<_> = due
                .into_iter()
                .map(|(path, _, _, fate)| (path, fate))
                .collect();
            due.sort_by(|a, b| a.0.cmp(&b.0));
            due
        }
    }

    fn steps() -> impl Strategy<Value = Vec<(u64, String, Event)>> {
        let path =
            proptest::collection::vec(prop::sample::select(vec!["a", "b", "a-", "a0"]), 0..4);
        let event = prop::sample::select(vec![Event::Created, Event::Modified, Event::Deleted]);
        let step = (0..400_u64, path, event);
        let step = step.prop_map(|(rest, path, event)| (rest, path.join("/"), event));
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        #[test]
        fn it_does_what_a_naive_one_does(steps in steps()) {
            let clock = ManualClock::new();
            let (mut coalescer, mut naive) = (coalescer(), Naive::default());
            for (rest, path, event) in steps {
                coalescer.event(clock.elapsed(), &path, event);
                naive.event(clock.elapsed(), &path, event);
                clock.advance(ms(rest));
                let due = coalescer.take_due(clock.elapsed());
                let due: Vec<_> = due.into_iter().map(|due| (due.path, due.fate)).collect();
                prop_assert_eq!(due, naive.take_due(clock.elapsed()));
            }
        }

        #[test]
        fn every_event_is_answered_in_time_however_few_paths_may_wait(
            steps in steps(), capacity in 1..5_usize
        ) {
            let clock = ManualClock::new();
            let mut coalescer = Coalescer::new(DEBOUNCE, MAX_DELAY, capacity);
            let mut open: Vec<(Duration, String)> = Vec::new();
            for (rest, path, event) in steps {
                coalescer.event(clock.elapsed(), &path, event);
                open.push((clock.elapsed(), path));
                prop_assert!(coalescer.len() <= capacity);
                clock.advance(ms(rest));
                let now = clock.elapsed();
                for due in coalescer.take_due(now) {
                    let has = |path: &str| {
                        let rest = path.strip_prefix(due.path.as_str());
                        due.path.is_empty()
                            || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    };
                    open.retain(|(_, path)| !has(path));
                }
                prop_assert!(open.iter().all(|(at, _)| *at + MAX_DELAY > now), "{:?}", open);
            }
        }
    }
}
