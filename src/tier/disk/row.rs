//! A row of the file: when its value ends, and the digest that vouches for all of it. What the file
//! says is data to be checked: a row that does not match its digest, under the key that was asked for,
//! is no answer.

use std::time::Duration;

use rusqlite::Row;

use crate::clock::Clock;
use crate::tier::Key;

/// Bytes of a digest.
const DIGEST: usize = 16;
/// Part of every digest: another form of rows has other digests.
const FORM: &[u8] = b"cardex tier row 1";

/// An instant: on the wall, which may step in either direction, and since the boot of one machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant {
    pub(super) wall_ns: i64,
    boot_ns: i64,
    boot: [u8; 16],
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

/// When a value was written, and when it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) written: Instant,
    /// How long it lives from then on; `None` is forever.
    pub(super) lifetime_ns: Option<i64>,
}

impl Times {
    pub(super) fn from(written: Instant, lifetime: Option<Duration>) -> Self {
        Times {
            written,
            lifetime_ns: lifetime.map(nanoseconds),
        }
    }

    /// The end on the wall, by which rows are swept.
    pub(super) fn ends_ns(&self) -> Option<i64> {
        let lifetime = self.lifetime_ns?;
        Some(self.written.wall_ns.saturating_add(lifetime))
    }

    /// How much longer it lives, `None` within being forever; `None` if its time is over.
    ///
    /// Both clocks count, and the one by which it is older decides. The wall does not count while it
    /// stands before the writing: then the clock since the boot decides if it is still the same boot,
    /// and otherwise the age is not known, and the time is over.
    pub(super) fn remaining(&self, now: Instant) -> Option<Option<Duration>> {
        let Some(lifetime) = self.lifetime_ns else {
            return Some(None);
        };
        let age_since = |then: i64, now: i64| now.checked_sub(then).filter(|age| *age >= 0);
        let wall = age_since(self.written.wall_ns, now.wall_ns);
        let boot = match now.boot == self.written.boot {
            true => age_since(self.written.boot_ns, now.boot_ns),
            false => None,
        };
        let left = lifetime.checked_sub(wall.max(boot)?)?;
        let left = u64::try_from(left).ok().filter(|left| *left > 0)?;
        Some(Some(Duration::from_nanos(left)))
    }
}

/// A value and all that is stored beside it but its key.
#[derive(Debug)]
pub(super) struct Stored<'v> {
    pub(super) version: u64,
    pub(super) times: Times,
    pub(super) value: &'v [u8],
}

impl<'v> Stored<'v> {
    /// What vouches for this under this key.
    pub(super) fn digest(&self, key: &Key) -> [u8; DIGEST] {
        let Times {
            written,
            lifetime_ns,
        } = self.times;
        let mut hasher = blake3::Hasher::new();
        hasher.update(FORM);
        hasher.update(&(key.as_str().len() as u64).to_le_bytes());
        hasher.update(key.as_str().as_bytes());
        hasher.update(&self.version.to_le_bytes());
        hasher.update(&written.wall_ns.to_le_bytes());
        hasher.update(&written.boot_ns.to_le_bytes());
        hasher.update(&written.boot);
        hasher.update(&[u8::from(lifetime_ns.is_some())]);
        hasher.update(&lifetime_ns.unwrap_or(0).to_le_bytes());
        hasher.update(self.value);
        let mut digest = [0; DIGEST];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..DIGEST]);
        digest
    }

    /// The row of [`SELECT`](super::file::SELECT), if it is whole and is that of this key.
    pub(super) fn read(row: &'v Row<'_>, key: &Key) -> Option<Self> {
        let fixed = |at| row.get_ref(at).ok()?.as_blob().ok()?.try_into().ok();
        let number = |at| row.get::<_, i64>(at).ok();
        let stored = Stored {
            version: number(1)?.cast_unsigned(),
            times: Times {
                written: Instant {
                    wall_ns: number(2)?,
                    boot_ns: number(3)?,
                    boot: fixed(4)?,
                },
                lifetime_ns: row.get(5).ok()?,
            },
            value: row.get_ref(7).ok()?.as_blob().ok()?,
        };
        let digest: [u8; DIGEST] = fixed(6)?;
        (digest == stored.digest(key)).then_some(stored)
    }

    /// The columns of [`INSERT`](super::file::INSERT), after the key.
    pub(super) fn boot(&self) -> (i64, [u8; 16]) {
        (self.times.written.boot_ns, self.times.written.boot)
    }
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

    #[test]
    fn a_clock_that_is_set_never_makes_a_value_younger() {
        let lifetime = Some(Duration::from_nanos(100));
        let times = Times::from(at(1_000, 50, 1), lifetime);
        let left = |now| times.remaining(now).map(|left| left.unwrap().as_nanos());
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
        let endless = Times::from(at(1_000, 50, 1), None);
        assert_eq!(endless.remaining(at(0, 0, 2)), Some(None));
    }
}
