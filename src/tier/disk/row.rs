//! A row of the file: when its value ends, and the digests that vouch for all of it. What the file
//! says is data to be checked: a row that does not match its digests, in the space and under the key
//! that was asked for, is no answer.
//!
//! There are two: the sum of the value, and the seal of everything else with that sum, so that a row
//! can be told to be whole without its value being read.

use std::time::Duration;

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use crate::clock::Clock;
use crate::tier::Entry;
use crate::tier::term;

/// Bytes of a digest.
const DIGEST: usize = 16;
/// Part of every seal: another form of rows has other seals.
const FORM: &[u8] = b"cardex tier row 3";

pub(super) type Digest = [u8; DIGEST];

/// An instant: on the wall, which may step in either direction, and since the boot of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) wall_ns: i64,
    pub(super) boot_ns: i64,
    pub(super) boot: [u8; 16],
}

impl Instant {
    pub(super) fn now(clock: &dyn Clock, boot: [u8; 16]) -> Self {
        Instant {
            wall_ns: clock.now().timestamp_nanos_opt().unwrap_or(i64::MAX),
            boot_ns: nanoseconds(clock.elapsed()),
            boot,
        }
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// When a value was written, when it ends, and when it leaves this tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) written: Instant,
    /// How long it lives from then on, its grace included; `None` is forever.
    pub(super) life_ns: Option<i64>,
    /// How long this tier holds it from then on; `None` is forever.
    pub(super) held_ns: Option<i64>,
    /// How much of its life is grace.
    pub(super) grace_ns: i64,
}

impl Times {
    pub(super) fn from(written: Instant, times: term::Times) -> Self {
        Times {
            written,
            life_ns: times.life.map(nanoseconds),
            held_ns: times.held.map(nanoseconds),
            grace_ns: nanoseconds(times.grace),
        }
    }

    /// How much of its life is grace.
    pub(super) fn grace(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.grace_ns).unwrap_or(0))
    }

    /// When it leaves by the wall clock, by which rows are swept.
    pub(super) fn ends_ns(&self) -> Option<i64> {
        Some(self.written.wall_ns.saturating_add(self.held_ns?))
    }

    /// How much longer it lives, `None` within being forever; `None` if it has left.
    ///
    /// Both clocks count, and the one by which it is older decides. The wall does not count while it
    /// stands before the writing: then the clock since the boot decides if it is still the same boot,
    /// and otherwise the age is not known, and the time is over.
    pub(super) fn remaining(&self, now: Instant) -> Option<Option<Duration>> {
        let Some(held) = self.held_ns else {
            return Some(None);
        };
        let age_since = |then: i64, now: i64| now.checked_sub(then).filter(|age| *age >= 0);
        let wall = age_since(self.written.wall_ns, now.wall_ns);
        let boot = match now.boot == self.written.boot {
            true => age_since(self.written.boot_ns, now.boot_ns),
            false => None,
        };
        let age = wall.max(boot)?;
        if held <= age {
            return None;
        }
        let Some(life) = self.life_ns else {
            return Some(None);
        };
        let left = u64::try_from(life.checked_sub(age)?).ok()?;
        (left > 0).then(|| Some(Duration::from_nanos(left)))
    }
}

/// All that is stored beside a value but its space and key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) version: u64,
    pub(super) times: Times,
    /// The digest of the value.
    pub(super) sum: Digest,
}

/// A head as the file has it: the seal, and what that vouches for.
pub(super) type Packed = [u8; Head::LENGTH];

impl Head {
    const LENGTH: usize = 98;

    /// The head in its packed form, for this space and key.
    pub(super) fn pack(&self, space: &str, key: &str) -> Packed {
        let times = &self.times;
        let (life, held) = (times.life_ns, times.held_ns);
        let fields: [&[u8]; 10] = [
            &[0; DIGEST],
            &self.version.to_le_bytes(),
            &times.written.wall_ns.to_le_bytes(),
            &times.written.boot_ns.to_le_bytes(),
            &times.written.boot,
            &[u8::from(life.is_some()), u8::from(held.is_some())],
            &life.unwrap_or(0).to_le_bytes(),
            &held.unwrap_or(0).to_le_bytes(),
            &times.grace_ns.to_le_bytes(),
            &self.sum,
        ];
        let mut packed = [0; Head::LENGTH];
        let mut rest = &mut packed[..];
        for field in fields {
            let (place, after) = rest.split_at_mut(field.len());
            place.copy_from_slice(field);
            rest = after;
        }
        let seal = seal(space, key, &packed);
        packed[..DIGEST].copy_from_slice(&seal);
        packed
    }

    /// The head that was packed, if it is whole and belongs to this space and key.
    pub(super) fn unpack(packed: &[u8], space: &str, key: &str) -> Option<Self> {
        let packed: &Packed = packed.try_into().ok()?;
        if packed[..DIGEST] != seal(space, key, packed) {
            return None;
        }
        let mut rest = &packed[DIGEST..];
        let version = u64::from_le_bytes(field(&mut rest)?);
        let wall_ns = i64::from_le_bytes(field(&mut rest)?);
        let boot_ns = i64::from_le_bytes(field(&mut rest)?);
        let boot = field(&mut rest)?;
        let [has_life, has_held] = field(&mut rest)?;
        let life = i64::from_le_bytes(field(&mut rest)?);
        let held = i64::from_le_bytes(field(&mut rest)?);
        let grace_ns = i64::from_le_bytes(field(&mut rest)?);
        let written = Instant {
            wall_ns,
            boot_ns,
            boot,
        };
        let times = Times {
            written,
            life_ns: (has_life != 0).then_some(life),
            held_ns: (has_held != 0).then_some(held),
            grace_ns,
        };
        let sum = field(&mut rest)?;
        Some(Head {
            version,
            times,
            sum,
        })
    }

    /// What is handed out of this and its value, if it has not left; the value is known to be whole.
    pub(super) fn entry(&self, value: &[u8], now: Instant) -> Option<Entry> {
        let remaining = self.times.remaining(now)?;
        Some(Entry {
            value: value.into(),
            version: self.version,
            remaining,
            grace: self.times.grace(),
        })
    }
}

/// The digest of a value: XXH3 of 128 bits. What it finds is damage, and no forgery: whoever may write to
/// the file can make any row that he likes, whatever the digest.
pub(super) fn sum(value: &[u8]) -> Digest {
    xxh3_128(value).to_le_bytes()
}

/// The next bytes of what is left.
fn field<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (field, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*field)
}

/// What vouches for a packed head in this space, under this key. All of it is hashed at once, which takes
/// half the time of piece by piece.
fn seal(space: &str, key: &str, packed: &Packed) -> Digest {
    let mut bytes: SmallVec<[u8; 512]> = SmallVec::from_slice(FORM);
    for text in [space, key] {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(&packed[DIGEST..]);
    sum(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, boot: i64, which: u8) -> Instant {
        Instant {
            wall_ns: wall,
            boot_ns: boot,
            boot: [which; 16],
        }
    }

    fn times(life: Option<u64>, held: Option<u64>) -> Times {
        let times = term::Times {
            life: life.map(Duration::from_nanos),
            held: held.map(Duration::from_nanos),
            grace: Duration::ZERO,
        };
        Times::from(at(1_000, 50, 1), times)
    }

    #[test]
    fn a_clock_that_is_set_never_makes_a_value_younger() {
        let times_100 = times(Some(100), Some(100));
        let left = |now| {
            times_100
                .remaining(now)
                .map(|left| left.unwrap().as_nanos())
        };
        assert_eq!(left(at(1_040, 90, 1)), Some(60));
        assert_eq!(left(at(1_099, 149, 1)), Some(1));
        assert_eq!(left(at(1_100, 150, 1)), None);
        // The wall was set back: the clock since the boot knows better.
        assert_eq!(left(at(1_010, 130, 1)), Some(20));
        assert_eq!(left(at(10, 130, 1)), Some(20));
        assert_eq!(left(at(10, 150, 1)), None);
        // It was set forward: that only ends what might live.
        assert_eq!(left(at(1_090, 60, 1)), Some(10));
        // Another boot: only the wall is left, unless it stands before the writing.
        assert_eq!(left(at(1_040, 3, 2)), Some(60));
        assert_eq!(left(at(999, 3, 2)), None);
        assert_eq!(times(None, None).remaining(at(0, 0, 2)), Some(None));
    }

    #[test]
    fn what_a_tier_in_front_holds_for_a_while_leaves_it_before_its_end() {
        let endless = times(None, Some(10));
        assert_eq!(endless.remaining(at(1_009, 59, 1)), Some(None));
        assert_eq!(endless.remaining(at(1_010, 60, 1)), None);
        let capped = times(Some(100), Some(10));
        let left = Duration::from_nanos(91);
        assert_eq!(capped.remaining(at(1_009, 59, 1)), Some(Some(left)));
        assert_eq!(capped.remaining(at(1_010, 60, 1)), None);
    }

    #[test]
    fn a_seal_is_of_one_space_one_key_and_every_column() {
        let head = Head {
            version: 1,
            times: times(Some(100), Some(10)),
            sum: sum(b"v"),
        };
        let mut others = [head; 5];
        others[0].version = 2;
        others[1].times.life_ns = None;
        others[2].times.held_ns = Some(11);
        others[3].times.grace_ns = 1;
        others[4].sum = sum(b"w");
        let seal = |packed: Packed| packed[..DIGEST].to_vec();
        let mut seals: Vec<_> = others.map(|head| seal(head.pack("a", "b"))).to_vec();
        for (space, key) in [("a", "b"), ("ab", ""), ("", "ab")] {
            let packed = head.pack(space, key);
            let unpacked = Head::unpack(&packed, space, key).unwrap();
            assert_eq!((unpacked.version, unpacked.times), (1, head.times));
            assert!(Head::unpack(&packed, space, "c").is_none());
            seals.push(seal(packed));
        }
        let count = seals.len();
        seals.sort();
        seals.dedup();
        assert_eq!(seals.len(), count);
    }
}
