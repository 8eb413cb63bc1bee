//! How values are read. A hit is one request of two commands: how long the value stays, and, at one moment,
//! the epoch and the value. A value that was put between the two lives for the whole time that it was put
//! for, less nothing worth telling: it says itself how long that is, so that no time that was told of
//! another one can make it live for longer.

use super::epoch::{Epoch, first};
use super::reply::{array, bytes, no_reply, number, refused};
use super::stored::{self, Endless, Head, Stay};
use super::{MAX_VALUE_BYTES, RedisTier, Step, strings};
use crate::error::Result;
use crate::redis::{Link, Trouble};
use crate::tier::{Entry, Key};

/// What the server holds under a key.
pub(super) enum Found {
    Absent,
    Entry(Head, Entry),
    Damaged,
    /// Somebody took its end from it; or it is another one than that whose end was asked for.
    Endless,
    /// More than is read of many together.
    Long,
}

impl RedisTier {
    /// What the server holds under each of the keys. This is no transaction, which a server without room
    /// would refuse.
    pub(super) fn read(&self, keys: &[&Key]) -> Result<Vec<Found>> {
        let mut has_doubted = false;
        self.run(|link, epoch| {
            let names: Vec<String> = keys
                .iter()
                .map(|key| self.names.value(epoch.number, key))
                .collect();
            let mut read = redis::pipe();
            for name in &names {
                read.cmd("PTTL").arg(name);
            }
            let names = names.iter().map(String::as_str);
            read.add_command(strings(
                [self.names.epoch()].into_iter().chain(names.clone()),
            ));
            let replies = match link.ask(&read) {
                Err(Trouble::TooLong) => return Ok(Step::Done(too_long(keys.len()))),
                replies => replies?,
            };
            let Some((values, times)) = replies.split_last() else {
                return Err(no_reply());
            };
            let [now, values @ ..] = array(values) else {
                return Err(no_reply());
            };
            let now = Epoch::read(now);
            if now != Some(epoch) {
                return Ok(Step::Moved(now));
            }
            if (times.len(), values.len()) != (keys.len(), keys.len()) {
                return Err(no_reply());
            }
            let each = names.zip(times.iter().zip(values));
            let found: Vec<Found> = each
                .map(|(name, (time, value))| judge(name, bytes(value), Stay::read(number(time))))
                .collect();
            let is_doubtful = found.iter().any(|found| matches!(found, Found::Endless));
            Ok(
                match is_doubtful && !std::mem::replace(&mut has_doubted, true) {
                    true => Step::Contested,
                    false => Step::Done(found),
                },
            )
        })
    }

    /// The entry of a key, if it is whole. A damaged one leaves.
    pub(super) fn whole(&self, key: &Key, found: Found) -> Option<Entry> {
        match found {
            Found::Absent | Found::Long => None,
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

/// More than is read together; alone, it is longer than any value.
fn too_long(keys: usize) -> Vec<Found> {
    let found = || match keys {
        1 => Found::Damaged,
        _ => Found::Long,
    };
    (0..keys).map(|_| found()).collect()
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

/// A reply that there is room for holds the largest value.
const _: () = assert!(stored::HEAD + MAX_VALUE_BYTES + (1 << 10) <= crate::redis::MAX_REPLY);

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
        assert!(matches!(too_long(1)[..], [Found::Damaged]));
        assert!(matches!(too_long(2)[..], [Found::Long, Found::Long]));
        assert!(bytes(&redis::Value::Nil).is_none());
    }
}
