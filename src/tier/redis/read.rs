//! How values are read. A hit is one request of two commands: how long the value stays, and, at one moment,
//! the epoch and the value. A value that was put between the two lives for the whole time that it was put
//! for, less nothing worth telling: it says itself how long that is, so that no time that was told of
//! another one can make it live for longer.
//!
//! Of many values the server is never asked for more than [`TOGETHER_BYTES`] at once: it would hold all
//! of its reply in memory, and might evict others for it. Each has a share; those that are longer are asked
//! for again when their lengths are known, as many together as that allows. The epoch comes last: none
//! ever comes back, so that what was read before it is of the same one.

use super::epoch::{Epoch, first};
use super::reply::{array, bytes, no_reply, number, refused};
use super::stored::{self, Endless, Head, Stay};
use super::{MAX_VALUE_BYTES, RedisTier, Step, TOGETHER, strings};
use crate::error::Result;
use crate::redis::{Link, Trouble};
use crate::tier::{Entry, Key};

/// The most bytes of values that are read together. Of one value, there may be more.
const TOGETHER_BYTES: usize = 16 << 20;

/// What the server holds under a key.
pub(super) enum Found {
    Absent,
    Entry(Head, Entry),
    Damaged,
    /// Somebody took its end from it; or it is another one than that whose end was asked for.
    Endless,
    /// Not all of it: it is longer than its share of what is read together, or somebody changed it.
    Part,
}

impl RedisTier {
    /// What the server holds under each of the keys, of which there are at most [`super::TOGETHER`].
    pub(super) fn read_each(&self, keys: &[&Key]) -> Vec<Result<Found>> {
        let [_, _, ..] = keys else {
            return keys.iter().map(|key| self.read(key)).collect();
        };
        let share = TOGETHER_BYTES / keys.len();
        let mut found = self.read_shares(keys, &vec![share; keys.len()]);
        let is_part = |found: &Result<Found>| matches!(found, Ok(Found::Part));
        let parts: Vec<usize> = (0..keys.len()).filter(|&at| is_part(&found[at])).collect();
        if parts.is_empty() {
            return found;
        }
        let of = |places: &[usize]| -> Vec<&Key> { places.iter().map(|&at| keys[at]).collect() };
        let lengths = match self.lengths(&of(&parts)) {
            Ok(lengths) => lengths,
            Err(error) => {
                for at in parts {
                    found[at] = Err(error.clone());
                }
                return found;
            }
        };
        let mut begin = 0;
        for length in together(&lengths) {
            let group = begin..begin + length;
            begin = group.end;
            let places = &parts[group.clone()];
            let again = match places {
                [at] => vec![self.read(keys[*at])],
                _ => self.read_shares(&of(places), &lengths[group]),
            };
            for (&at, again) in places.iter().zip(again) {
                found[at] = match is_part(&again) {
                    true => self.read(keys[at]),
                    false => again,
                };
            }
        }
        found
    }

    /// What the server holds under a key. This is no transaction, which a server without room would
    /// refuse.
    pub(super) fn read(&self, key: &Key) -> Result<Found> {
        let mut has_doubted = false;
        self.run(|link, epoch| {
            let name = self.names.value(epoch.number, key);
            let mut read = redis::pipe();
            read.cmd("PTTL").arg(&name);
            read.add_command(strings([self.names.epoch(), &name]));
            let replies = match link.ask(&read) {
                // Longer than any value, if it is not the epoch that is.
                Err(Trouble::TooLong) => {
                    self.adopt(None);
                    return Ok(Step::Done(Found::Damaged));
                }
                replies => replies?,
            };
            let [time, held] = &replies[..] else {
                return Err(no_reply());
            };
            let [now, value] = array(held) else {
                return Err(no_reply());
            };
            let now = Epoch::read(now);
            if now != Some(epoch) {
                return Ok(Step::Moved(now));
            }
            let found = judge(&name, bytes(value), Stay::read(number(time)));
            let is_doubtful = matches!(found, Found::Endless);
            Ok(
                match is_doubtful && !std::mem::replace(&mut has_doubted, true) {
                    true => Step::Contested,
                    false => Step::Done(found),
                },
            )
        })
    }

    /// The same of several keys, if each is no longer than its share.
    fn read_shares(&self, keys: &[&Key], shares: &[usize]) -> Vec<Result<Found>> {
        let mut has_doubted = false;
        let found = self.run(|link, epoch| {
            let names: Vec<String> = keys
                .iter()
                .map(|key| self.names.value(epoch.number, key))
                .collect();
            let mut read = redis::pipe();
            for (name, share) in names.iter().zip(shares) {
                read.cmd("PTTL").arg(name);
                // A byte more shows that it is longer.
                read.cmd("GETRANGE").arg(name).arg(0).arg(share);
            }
            read.add_command(strings([self.names.epoch()]));
            let replies = link.ask_each(&read)?;
            for reply in &replies {
                refused(reply)?;
            }
            let Some((now, replies)) = replies.split_last() else {
                return Err(no_reply());
            };
            let now = first(now);
            if now != Some(epoch) {
                return Ok(Step::Moved(now));
            }
            let (replies, _) = replies.as_chunks::<2>();
            if replies.len() != keys.len() {
                return Err(no_reply());
            }
            let each = names.iter().zip(shares).zip(replies);
            let found: Vec<Found> = each
                .map(|((name, share), [time, value])| {
                    judge_share(name, bytes(value), *share, Stay::read(number(time)))
                })
                .collect();
            let is_doubtful = found.iter().any(|found| matches!(found, Found::Endless));
            Ok(
                match is_doubtful && !std::mem::replace(&mut has_doubted, true) {
                    true => Step::Contested,
                    false => Step::Done(found),
                },
            )
        });
        match found {
            Ok(found) => found.into_iter().map(Ok).collect(),
            Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// How long the values of these keys are; 0 of what is not there.
    fn lengths(&self, keys: &[&Key]) -> Result<Vec<usize>> {
        self.run(|link, epoch| {
            let mut ask = redis::pipe();
            for key in keys {
                ask.cmd("STRLEN").arg(self.names.value(epoch.number, key));
            }
            let replies = link.ask_each(&ask)?;
            for reply in &replies {
                refused(reply)?;
            }
            let length = |reply| usize::try_from(number(reply)).unwrap_or(0);
            Ok(Step::Done(replies.iter().map(length).collect()))
        })
    }

    /// The entry of a key, if it is whole. A damaged one leaves.
    pub(super) fn whole(&self, key: &Key, found: Found) -> Option<Entry> {
        match found {
            Found::Absent | Found::Part => None,
            Found::Entry(_, entry) => Some(entry),
            Found::Damaged | Found::Endless => {
                self.counters.damaged.bump();
                tracing::warn!(tier = self.name, %key, "a damaged value on the Redis server");
                if let Err(error) = self.discard(key) {
                    tracing::warn!(tier = self.name, %key, %error, "cannot take it out");
                }
                None
            }
        }
    }

    /// Takes a value out if it is damaged still.
    fn discard(&self, key: &Key) -> Result<()> {
        self.run(|link, epoch| {
            let name = self.names.value(epoch.number, key);
            let (now, found) = self.watched(link, &name)?;
            if now != Some(epoch) {
                return Ok(Step::Moved(now));
            }
            if !matches!(found, Found::Damaged | Found::Endless) {
                return Ok(Step::Done(()));
            }
            let mut remove = redis::pipe();
            remove.atomic().cmd("UNLINK").arg(&name);
            Ok(match link.tell_again(&remove)? {
                Some(_) => Step::Done(()),
                None => Step::Contested,
            })
        })
    }

    /// The epoch, and what is held under the name, both watched from now on. Of what is too long no more
    /// is asked for than shows that.
    pub(super) fn watched(
        &self,
        link: &mut Link,
        name: &str,
    ) -> Result<(Option<Epoch>, Found), Trouble> {
        let epoch = self.names.epoch();
        let mut watch = redis::pipe();
        watch.cmd("WATCH").arg(epoch).arg(name);
        watch.cmd("PTTL").arg(name);
        let last = stored::HEAD + MAX_VALUE_BYTES;
        watch.cmd("GETRANGE").arg(name).arg(0).arg(last);
        watch.add_command(strings([epoch]));
        let replies = link.watch(&watch)?;
        let [_, pttl, value, now] = &replies[..] else {
            return Err(no_reply());
        };
        for reply in [pttl, value, now] {
            refused(reply)?;
        }
        let stay = Stay::read(number(pttl));
        // As the server says of what is not there.
        let value = bytes(value).filter(|value| !value.is_empty() || stay != Stay::Absent);
        Ok((first(now), judge(name, value, stay)))
    }
}

/// How many values of these lengths are read together each time: those that there is room for, and one
/// at least.
fn together(lengths: &[usize]) -> Vec<usize> {
    let (mut groups, mut room) = (Vec::new(), 0);
    for &length in lengths {
        match (groups.last_mut(), length <= room) {
            (Some(group), true) => {
                *group += 1;
                room -= length;
            }
            _ => {
                groups.push(1);
                room = TOGETHER_BYTES.saturating_sub(length);
            }
        }
    }
    groups
}

/// What the first bytes under a name are: one more than the share, if there are more.
fn judge_share(name: &str, bytes: Option<&[u8]>, share: usize, stay: Stay) -> Found {
    match bytes {
        // As the server says of what is not there.
        Some([]) if stay == Stay::Absent => Found::Absent,
        Some(bytes) if bytes.is_empty() || bytes.len() > share => Found::Part,
        bytes => judge(name, bytes, stay),
    }
}

/// What the bytes under a name are.
fn judge(name: &str, bytes: Option<&[u8]>, stay: Stay) -> Found {
    let Some(bytes) = bytes else {
        return Found::Absent;
    };
    let whole = Some(bytes).filter(|bytes| bytes.len() <= stored::HEAD + MAX_VALUE_BYTES);
    let Some((head, value)) = whole.and_then(|bytes| Head::decode(name, bytes)) else {
        return Found::Damaged;
    };
    match head.entry(value, stay) {
        Ok(Some(entry)) => Found::Entry(head, entry),
        Ok(None) => Found::Absent,
        Err(Endless) => Found::Endless,
    }
}

/// A reply that there is room for holds the largest value, and the values that are read together.
const _: () = assert!(stored::HEAD + MAX_VALUE_BYTES + (1 << 10) <= crate::redis::MAX_REPLY);
const _: () = assert!(TOGETHER_BYTES + TOGETHER * (1 << 10) <= crate::redis::MAX_REPLY);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_or_no_value_is_no_entry() {
        assert!(matches!(judge("n", None, Stay::Endless), Found::Absent));
        assert!(matches!(
            judge("n", Some(b""), Stay::Endless),
            Found::Damaged
        ));
        assert!(bytes(&redis::Value::Nil).is_none());
    }

    #[test]
    fn a_share_that_is_no_whole_value_is_asked_for_again() {
        let stay = Stay::Endless;
        let judged = |bytes, stay| judge_share("n", Some(bytes), 3, stay);
        assert!(matches!(judged(b"", Stay::Absent), Found::Absent));
        assert!(matches!(judged(b"", stay), Found::Part), "it may have gone");
        assert!(matches!(judged(b"abcd", stay), Found::Part));
        assert!(matches!(judged(b"abc", stay), Found::Damaged));
        assert!(matches!(judge_share("n", None, 3, stay), Found::Absent));
    }

    #[test]
    fn no_more_is_read_together_than_there_is_room_for() {
        let half = TOGETHER_BYTES / 2;
        assert!(together(&[]).is_empty());
        assert_eq!(together(&[half; 5]), [2, 2, 1]);
        assert_eq!(together(&[half + 1; 3]), [1, 1, 1]);
        assert_eq!(together(&[0, usize::MAX, 1, TOGETHER_BYTES]), [1, 1, 1, 1]);
        assert_eq!(together(&[300 << 10; 256]), [54, 54, 54, 54, 40]);
    }
}
