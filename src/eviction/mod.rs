//! Eviction policies over small integer ids: who leaves when room is needed. A policy knows no
//! keys, values or limits, only slots of the map that owns it. Hits are recorded without a lock, in
//! marks shared with the readers; the order is put in place when a victim is asked for.

mod fifo;
mod lfu;
mod lru;
mod marks;
#[cfg(test)]
mod model_tests;
mod random;
mod s3fifo;
mod ttl;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use smallvec::SmallVec;

pub(crate) use self::ttl::Deadlines;
use crate::error::{Error, ErrorKind, Result};
use crate::suggest;

/// A slot of the map. Small and dense: a freed id is given out again.
pub(crate) type Id = u32;

/// When an entry's time is over, in nanoseconds of its owner's clock; `FOREVER` if it never is.
pub(crate) type Deadline = u64;

/// The deadline of what does not expire.
pub(crate) const FOREVER: Deadline = Deadline::MAX;

/// Victims named together, the first to go first.
pub(crate) type Named = SmallVec<[Id; 4]>;

/// The ordered part of a policy. It lives inside its map's one mutex.
///
/// The map calls `inserted` when an id begins to live and `removed` when it has ended. Replacing a
/// value is neither: the entry keeps its place.
pub(crate) trait EvictionPolicy: fmt::Debug + Send {
    /// A new entry. Not an access. `fingerprint` is the hash of its key: a policy may remember
    /// whom it saw before.
    fn inserted(&mut self, id: Id, fingerprint: u64);

    /// The entry's time ends then: told after `inserted`, and when another value takes its place. An
    /// entry of which nothing is told does not expire.
    fn ends_at(&mut self, _id: Id, _deadline: Deadline) {}

    /// The entry left, evicted or not, and no reader marks it any more. It is never a victim later.
    fn removed(&mut self, id: Id);

    /// Names the next victim, never `spared`; `None` when no other is left. The map then takes it
    /// out and calls `removed`, before it asks for another. Until then a reader may still mark it.
    fn victim(&mut self, spared: Option<Id>) -> Option<Id>;

    /// Names the next victims, one at least and `most` at most, in the order in which `victim` would.
    /// The map takes all of them out and calls `removed` for each, before it asks again.
    fn victims(&mut self, most: usize, spared: Option<Id>, named: &mut Named) {
        debug_assert!(most > 0);
        named.extend(self.victim(spared));
    }

    /// Forgets every entry.
    fn clear(&mut self);

    /// How many entries live.
    fn len(&self) -> usize;
}

/// The shared part of a policy: where a hit leaves its mark. Relaxed words, no lock; exact when
/// calls are not concurrent.
#[derive(Clone, Debug)]
pub(crate) enum Marks {
    Lru(Arc<lru::Recency>),
    Lfu(Arc<lfu::Frequency>),
    S3Fifo(Arc<s3fifo::Hits>),
    /// Hits do not matter.
    Unmarked,
}

impl Marks {
    /// The entry was read. The caller makes sure that the id lives (by the lock of its shard).
    #[inline]
    pub(crate) fn accessed(&self, id: Id) {
        match self {
            Marks::Lru(marks) => marks.accessed(id),
            Marks::Lfu(marks) => marks.accessed(id),
            Marks::S3Fifo(marks) => marks.accessed(id),
            Marks::Unmarked => {}
        }
    }

    /// The entries were read, one after the other.
    pub(crate) fn accessed_all(&self, ids: &[Id]) {
        match self {
            Marks::Lru(marks) => marks.accessed_all(ids),
            Marks::Lfu(marks) => ids.iter().for_each(|id| marks.accessed(*id)),
            Marks::S3Fifo(marks) => ids.iter().for_each(|id| marks.accessed(*id)),
            Marks::Unmarked => {}
        }
    }
}

/// Which entry leaves first when a cache is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// Least recently used first, exactly.
    #[default]
    Lru,
    /// Least frequently used first, ties by recency; frequencies age.
    Lfu,
    /// S3-FIFO: entries used only once leave early, so a scan does not flush the others.
    S3Fifo,
    /// The one that came first leaves first, however often it was used.
    Fifo,
    /// The soonest to expire first; what does not expire leaves last, the oldest first.
    Ttl,
    /// Any.
    Random,
}

impl Strategy {
    /// Every strategy, in the order in which choices are shown.
    pub const ALL: [Strategy; 6] = [
        Strategy::Lru,
        Strategy::Lfu,
        Strategy::S3Fifo,
        Strategy::Fifo,
        Strategy::Ttl,
        Strategy::Random,
    ];

    /// Those that are offered for records (`memory_cache.eviction_strategy`), which do not expire.
    pub const FOR_RECORDS: [Strategy; 3] = [Strategy::Lru, Strategy::Lfu, Strategy::S3Fifo];

    /// The name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Lru => "lru",
            Strategy::Lfu => "lfu",
            Strategy::S3Fifo => "s3fifo",
            Strategy::Fifo => "fifo",
            Strategy::Ttl => "ttl",
            Strategy::Random => "random",
        }
    }

    pub(crate) fn build(self) -> (Marks, Box<dyn EvictionPolicy>) {
        match self {
            Strategy::Lru => {
                let policy = lru::Lru::default();
                (Marks::Lru(policy.marks()), Box::new(policy))
            }
            Strategy::Lfu => {
                let policy = lfu::Lfu::default();
                (Marks::Lfu(policy.marks()), Box::new(policy))
            }
            Strategy::S3Fifo => {
                let policy = s3fifo::S3Fifo::default();
                (Marks::S3Fifo(policy.marks()), Box::new(policy))
            }
            Strategy::Fifo => (Marks::Unmarked, Box::new(fifo::Fifo::default())),
            Strategy::Ttl => (Marks::Unmarked, Box::new(ttl::Ttl::default())),
            Strategy::Random => (Marks::Unmarked, Box::new(random::Random::default())),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = Error;

    /// One of those for records.
    ///
    /// # Errors
    /// `InvalidConfig` naming key, value and choices.
    fn from_str(name: &str) -> Result<Self> {
        let known = Strategy::FOR_RECORDS.into_iter().find(|s| s.name() == name);
        known.ok_or_else(|| unknown(name))
    }
}

fn unknown(name: &str) -> Error {
    let choices = Strategy::FOR_RECORDS.map(Strategy::name);
    let help = match suggest::nearest(name, choices) {
        Some(near) => format!("did you mean {near:?}? Choices: {}", choices.join(", ")),
        None => format!("choices: {}", choices.join(", ")),
    };
    let message = format!("memory_cache.eviction_strategy: unknown strategy {name:?}");
    Error::new(ErrorKind::InvalidConfig, message).with_help(help)
}

/// The order in which entries would leave; empties the policy.
#[cfg(test)]
fn dump(policy: &mut dyn EvictionPolicy) -> Vec<Id> {
    std::iter::from_fn(|| evict(policy, None)).collect()
}

/// A victim, taken out.
#[cfg(test)]
fn evict(policy: &mut dyn EvictionPolicy, spared: Option<Id>) -> Option<Id> {
    let victim = policy.victim(spared)?;
    policy.removed(victim);
    Some(victim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_known_by_its_name() {
        for strategy in Strategy::FOR_RECORDS {
            assert_eq!(strategy.to_string().parse::<Strategy>().unwrap(), strategy);
        }
    }

    #[test]
    fn an_unknown_strategy_names_key_value_and_choices() {
        let error = "lruu".parse::<Strategy>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(
            error.to_string(),
            r#"memory_cache.eviction_strategy: unknown strategy "lruu""#
        );
        assert_eq!(
            error.help(),
            Some(r#"did you mean "lru"? Choices: lru, lfu, s3fifo"#)
        );
        let error = "".parse::<Strategy>().unwrap_err();
        assert!(error.help().unwrap().contains("lfu"));
    }
}
