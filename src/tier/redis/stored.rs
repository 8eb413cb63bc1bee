//! A value as the server holds it: a head, and the bytes. Anybody may write to a server, so that what it
//! says is data to be checked: what does not match its digest, under the name that was asked for, is no
//! answer. When it leaves is the server's own to know.

use std::sync::Arc;
use std::time::Duration;

use crate::tier::Entry;
use crate::tier::term::Times;

/// The key of every digest: another form of values has other digests. It is no secret.
const KEY: [u8; 32] = *b"cardex 2026: redis tier, value 2";
/// The first byte of this form.
const FORM: u8 = 2;
/// From how many bytes on a value is long: two of the pieces that are hashed beside each other.
const LONG: usize = 2 << 10;
/// Bytes of a digest.
const DIGEST: usize = 16;
/// Bytes of what the digest vouches for, before the value: form, flags, version, grace, life, excess.
const FIELDS: usize = 1 + 1 + 8 + 8 + 8 + 8;
/// Bytes before the value.
pub(super) const HEAD: usize = FIELDS + DIGEST;
/// The flag of a value that never ends.
const ENDLESS: u8 = 1;
/// What nobody means to end: more nanoseconds than a word counts, 584 years.
const FOREVER: Duration = Duration::from_nanos(u64::MAX);

/// What stands before the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    version: u64,
    pub(super) is_endless: bool,
    pub(super) grace: Duration,
    /// How long it lives from when its end was set, its grace included; 0 if it never ends.
    life: Duration,
    /// How much longer it lives than it is held here.
    excess: Duration,
}

/// The server's word on when something leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// It is not there.
    Absent,
    /// It leaves within the millisecond, and is as good as gone.
    Leaving,
    /// It stays.
    Endless,
    /// So long.
    For(Duration),
}

impl Stay {
    /// The reply to `PTTL`.
    pub(super) fn read(pttl: i64) -> Self {
        match u64::try_from(pttl) {
            Ok(0) => Stay::Leaving,
            Ok(ms) => Stay::For(Duration::from_millis(ms)),
            Err(_) if pttl == -1 => Stay::Endless,
            Err(_) => Stay::Absent,
        }
    }

    /// Whether it is there, and not about to leave.
    pub(super) fn is_there(self) -> bool {
        matches!(self, Stay::Endless | Stay::For(_))
    }
}

impl Head {
    /// The head of a value that is put for these times, and how many milliseconds the server holds it:
    /// fewer rather than more, and 1 at least; `None` for always.
    pub(super) fn new(version: u64, times: Times) -> (Self, Option<u64>) {
        let life = times.life.filter(|life| *life < FOREVER);
        let held = times.held.filter(|held| *held < FOREVER);
        let ms = held.map(|held| u64::try_from(held.as_millis()).unwrap_or(u64::MAX).max(1));
        let rest = |life: Duration| life.saturating_sub(Duration::from_millis(ms.unwrap_or(0)));
        let head = Head {
            version,
            is_endless: life.is_none(),
            grace: times.grace,
            life: life.unwrap_or_default(),
            excess: life.map_or(Duration::ZERO, rest),
        };
        (head, ms)
    }

    /// That of another value, which takes this one's place and keeps its end.
    pub(super) fn with_version(self, version: u64) -> Self {
        Head { version, ..self }
    }

    fn fields(&self) -> [u8; FIELDS] {
        let mut fields = [0; FIELDS];
        fields[0] = FORM;
        fields[1] = if self.is_endless { ENDLESS } else { 0 };
        fields[2..10].copy_from_slice(&self.version.to_le_bytes());
        fields[10..18].copy_from_slice(&nanoseconds(self.grace).to_le_bytes());
        fields[18..26].copy_from_slice(&nanoseconds(self.life).to_le_bytes());
        fields[26..].copy_from_slice(&nanoseconds(self.excess).to_le_bytes());
        fields
    }

    /// The value with its head, to be held under the name.
    pub(super) fn encode(&self, name: &str, value: &[u8]) -> Vec<u8> {
        let fields = self.fields();
        let mut bytes = Vec::with_capacity(HEAD + value.len());
        bytes.extend_from_slice(&fields);
        bytes.extend_from_slice(&digest(name, &fields, value));
        bytes.extend_from_slice(value);
        bytes
    }

    /// What is held under the name, if it is whole and was written there.
    pub(super) fn decode<'b>(name: &str, bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let head = Head::told(bytes)?;
        let (fields, rest) = bytes.split_first_chunk::<FIELDS>()?;
        let (told, value) = rest.split_first_chunk::<DIGEST>()?;
        (*told == digest(name, fields, value)).then_some((head, value))
    }

    /// What the bytes say, whether they are whole or not.
    pub(super) fn told(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.first_chunk::<FIELDS>()?;
        let number = |at: usize| {
            let bytes = fields[at..at + 8].try_into().ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        let head = Head {
            version: number(2)?,
            is_endless: fields[1] == ENDLESS,
            grace: Duration::from_nanos(number(10)?),
            life: Duration::from_nanos(number(18)?),
            excess: Duration::from_nanos(number(26)?),
        };
        (head.fields() == *fields).then_some(head)
    }

    /// Whether it says the same of its end, beside how long the server holds it.
    pub(super) fn ends_as(&self, other: &Head) -> bool {
        let end = |head: &Head| (head.is_endless, head.grace, head.life, head.excess);
        end(self) == end(other)
    }

    /// The entry as it is handed out, if it is still there. How long it stays was asked before the value
    /// was: what was absent then was put since, a moment ago, and what had another end has got this one
    /// since. `Err` for a value that has an end and that somebody took the end from.
    pub(super) fn entry(&self, value: &[u8], stay: Stay) -> Result<Option<Entry>, Endless> {
        let remaining = match stay {
            Stay::Leaving => return Ok(None),
            _ if self.is_endless => None,
            Stay::Endless => return Err(Endless),
            Stay::Absent => Some(self.life),
            Stay::For(time) => Some(time.saturating_add(self.excess).min(self.life)),
        };
        Ok(Some(Entry {
            value: Arc::from(value),
            version: self.version,
            remaining,
            grace: self.grace,
        }))
    }
}

/// A value lost its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endless;

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The digest of a value under a name. A long value is hashed by itself before: its parts beside each other.
fn digest(name: &str, fields: &[u8; FIELDS], value: &[u8]) -> [u8; DIGEST] {
    let mut hasher = blake3::Hasher::new_keyed(&KEY);
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(&(value.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(fields);
    match value.len() {
        LONG.. => hasher.update(blake3::keyed_hash(&KEY, value).as_bytes()),
        _ => hasher.update(value),
    };
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..DIGEST]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::{Lifetime, Term};

    fn times(lifetime: Lifetime, grace: u64, at_most: Option<u64>) -> Times {
        let term = Term {
            lifetime,
            grace: Duration::from_millis(grace),
            at_most: at_most.map(Duration::from_millis),
        };
        term.resolve(Duration::from_secs(7200)).unwrap()
    }

    #[test]
    fn a_value_is_read_as_it_was_written_and_any_changed_bit_is_seen() {
        let lifetime = Lifetime::For(Duration::from_millis(500));
        let (head, ms) = Head::new(u64::MAX, times(lifetime, 300, Some(600)));
        assert_eq!(ms, Some(600));
        let bytes = head.encode("name", b"value");
        assert_eq!(Head::decode("name", &bytes), Some((head, &b"value"[..])));
        assert_eq!(Head::decode("other", &bytes), None);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode("name", &bad), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(Head::decode("name", &bytes[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_long_value_is_vouched_for_as_a_short_one_is() {
        let (head, _) = Head::new(1, times(Lifetime::Never, 0, None));
        for length in [LONG - 1, LONG, 9000] {
            let bytes = head.encode("name", &vec![7; length]);
            assert_eq!(Head::decode("name", &bytes).unwrap().1.len(), length);
            assert_eq!(Head::decode("nam", &bytes), None);
            for at in (0..bytes.len()).step_by(101) {
                let mut bad = bytes.clone();
                bad[at] ^= 1;
                assert_eq!(Head::decode("name", &bad), None, "byte {at} of {length}");
                assert_eq!(Head::decode("name", &bytes[..at]), None, "cut at {at}");
            }
        }
        // A value is not its own digest.
        let long = vec![7; LONG];
        let short = blake3::keyed_hash(&KEY, &long);
        let fields = head.fields();
        assert_ne!(
            digest("n", &fields, &long),
            digest("n", &fields, short.as_bytes())
        );
    }

    #[test]
    fn what_is_left_is_what_the_server_holds_and_what_it_does_not() {
        let lifetime = Lifetime::For(Duration::from_micros(2_500));
        let (head, ms) = Head::new(1, times(lifetime, 0, None));
        assert_eq!((ms, head.excess), (Some(2), Duration::from_micros(500)));
        let remaining = |pttl| {
            let entry = head.entry(b"", Stay::read(pttl));
            entry.map(|entry| entry.map(|entry| entry.remaining))
        };
        let told = |micros| Ok(Some(Some(Duration::from_micros(micros))));
        assert_eq!(remaining(1), told(1_500));
        assert_eq!(remaining(0), Ok(None));
        assert_eq!(remaining(-2), told(2_500), "it was put since");
        assert_eq!(remaining(9), told(2_500), "of another one");
        assert_eq!(remaining(-1), Err(Endless));

        let (head, ms) = Head::new(1, times(Lifetime::Never, 0, Some(50)));
        assert_eq!(ms, Some(50));
        let entry = head.entry(b"", Stay::read(50)).unwrap().unwrap();
        assert_eq!(entry.remaining, None);

        let (head, ms) = Head::new(1, times(Lifetime::For(Duration::MAX), 0, None));
        assert_eq!((ms, head.is_endless), (None, true));
        let short = Lifetime::For(Duration::from_nanos(1));
        assert_eq!(Head::new(1, times(short, 0, None)).1, Some(1));
    }
}
