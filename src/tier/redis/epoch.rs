//! The epoch of a namespace: the number in every name of a value. After a clear it is another one, and all
//! values of before are out of reach, for every process.
//!
//! The key of the epoch says as well on which instance of the server that was made. A server that was
//! restarted from a snapshot, or a replica that takes the place of its master, has the epoch of before,
//! and values that may be older than what was acknowledged. But it is another instance: whoever finds the
//! epoch of one instance on another makes another epoch there, before anything is read or written. Of
//! several who find it at the same time one makes it, and the others take that.

use std::fmt;
use std::num::NonZeroU64;
use std::thread;

use redis::Value;

use super::reply::{array, bytes, no_reply, refused};
use super::{MAX_CHANGES, RedisTier, pause};
use crate::error::Result;
use crate::redis::{Instance, Link, Trouble};

/// A number that no other epoch has, and the instance that it was made on, if that was known.
///
/// In the key: `NUMBER.INSTANCE`, of 16 hexadecimal digits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) number: Number,
    made_on: Option<Instance>,
}

/// The number of an epoch, as names have it: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(NonZeroU64);

impl Number {
    pub(super) fn parse(digits: &[u8]) -> Option<Self> {
        NonZeroU64::new(hexadecimal(digits)?).map(Number)
    }

    fn random() -> Result<Self> {
        let number = u64::from_le_bytes(super::random()?);
        Ok(Number(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN)))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How long the text of an epoch is.
const LENGTH: usize = 33;
/// How many pages of keys are looked at for values of before, if a server has no room for an epoch.
const MADE_PAGES: usize = 16;

impl Epoch {
    /// Another one than any before.
    fn new(instance: Option<Instance>) -> Result<Self> {
        Ok(Epoch {
            number: Number::random()?,
            made_on: instance,
        })
    }

    /// What the server holds under the name of the epoch; `None` if that is no epoch.
    pub(super) fn read(reply: &Value) -> Option<Self> {
        let (number, rest) = bytes(reply)?.split_at_checked(16)?;
        let instance = rest.strip_prefix(b".")?;
        Some(Epoch {
            number: Number::parse(number)?,
            made_on: Instance::known(hexadecimal(instance)?),
        })
    }

    /// Whether it was made on this instance. Of a server that does not tell, every epoch is believed.
    fn is_of(&self, instance: Option<Instance>) -> bool {
        instance.is_none() || instance == self.made_on
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made_on = self.made_on.map_or(0, Instance::number);
        write!(f, "{}.{made_on:016x}", self.number)
    }
}

/// The number of 16 hexadecimal digits, of which the letters are small.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    let digits: &[u8; 16] = digits.try_into().ok()?;
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

/// The epoch in a reply to [`strings`] that asked for it first.
pub(super) fn first(reply: &Value) -> Option<Epoch> {
    array(reply).first().and_then(Epoch::read)
}

/// Whether the server refused it because it has no room.
fn is_full(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Server(error) if error.code() == Some("OOM"))
}

impl RedisTier {
    /// The epoch as it was seen last, if it is of the instance that the connection leads to; else as the
    /// server has it, or another one.
    pub(super) fn epoch(&self, link: &mut Link) -> Result<Epoch, Trouble> {
        let known = *self.epoch.lock();
        match known.filter(|epoch| epoch.is_of(link.instance())) {
            Some(epoch) => Ok(epoch),
            None => self.settle_epoch(link),
        }
    }

    pub(super) fn adopt(&self, epoch: Option<Epoch>) {
        *self.epoch.lock() = epoch;
    }

    /// The epoch as the server has it, or another one in its place, if that is none, or one that was made
    /// on another instance. Of what stands there no more is read than shows that it is none. If a server
    /// has no room for another one, values of before leave, which is allowed to everybody.
    fn settle_epoch(&self, link: &mut Link) -> Result<Epoch, Trouble> {
        let name = self.names.epoch();
        let mut watch = redis::pipe();
        watch.cmd("WATCH").arg(name);
        watch.cmd("GETRANGE").arg(name).arg(0).arg(LENGTH);
        let mut pages = 0;
        for round in 0..MAX_CHANGES {
            let replies = link.watch(&watch)?;
            let held = replies.get(1).ok_or_else(no_reply)?;
            refused(held)?;
            let found = Epoch::read(held);
            if let Some(epoch) = self.believed(link, found)? {
                self.adopt(Some(epoch));
                return Ok(epoch);
            }
            let mine = Epoch::new(link.instance())?;
            let mut make = redis::pipe();
            make.atomic().cmd("SET").arg(name).arg(mine.to_string());
            let made = match link.tell_again(&make) {
                Err(refusal) if found.is_some() && pages < MADE_PAGES && is_full(&refusal) => {
                    self.make_room(link)?;
                    pages += 1;
                    None
                }
                made => made?,
            };
            if made.is_some() {
                if let Some(before) = found {
                    let tier = &self.name;
                    tracing::info!(tier, %before, now = %mine, "another server: all values are dead");
                }
                self.adopt(Some(mine));
                return Ok(mine);
            }
            thread::sleep(pause(round));
        }
        Err(self.contested().into())
    }

    /// The epoch that was read, unless it was made on another instance than the connection leads to.
    pub(super) fn believed(
        &self,
        link: &mut Link,
        epoch: Option<Epoch>,
    ) -> Result<Option<Epoch>, Trouble> {
        let Some(epoch) = epoch else {
            return Ok(None);
        };
        // The server may have become another one while the connection was open: somebody else was told.
        let is_ours = epoch.is_of(link.instance()) || epoch.is_of(link.instance_now()?);
        Ok(is_ours.then_some(epoch))
    }

    /// Another epoch, from now on and for everybody. Twice is as good as once.
    pub(super) fn renew_epoch(&self) -> Result<()> {
        self.client.run(|link| {
            let epoch = Epoch::new(link.instance())?;
            let mut set = redis::pipe();
            set.cmd("SET")
                .arg(self.names.epoch())
                .arg(epoch.to_string());
            link.tell_again(&set)?;
            self.adopt(Some(epoch));
            Ok(())
        })
    }

    /// No epoch: whatever is there is out of reach.
    pub(super) fn end_epoch(&self) -> Result<()> {
        let mut end = redis::pipe();
        end.cmd("UNLINK").arg(self.names.epoch());
        self.client.run(|link| link.tell_again(&end))?;
        self.adopt(None);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn epoch(number: u64, instance: u64) -> Epoch {
        Epoch {
            number: Number(NonZeroU64::new(number).unwrap()),
            made_on: Instance::known(instance),
        }
    }

    #[test]
    fn an_epoch_is_read_as_it_was_written_and_what_is_none_is_none() {
        let read = |text: &str| Epoch::read(&Value::BulkString(text.into()));
        for one in [epoch(0xabc, 0xdef), epoch(u64::MAX, 0)] {
            assert_eq!(read(&one.to_string()), Some(one));
            assert_eq!(one.to_string().len(), LENGTH);
        }
        assert_eq!(
            epoch(0xabc, 1).to_string(),
            "0000000000000abc.0000000000000001"
        );
        for bad in [
            "",
            "abc.def",
            "0000000000000abc",
            "0000000000000abc.",
            "0000000000000abc-0000000000000001",
            "0000000000000abc.00000000000000012",
            "0000000000000000.0000000000000001",
            "0000000000000ABC.0000000000000001",
            "+000000000000abc.0000000000000001",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(Epoch::read(&Value::Nil), None);
        assert!(Epoch::new(None).unwrap() != Epoch::new(None).unwrap());
    }

    #[test]
    fn an_epoch_counts_on_the_instance_that_it_was_made_on() {
        let (one, other) = (Instance::known(1), Instance::known(2));
        assert!(epoch(7, 1).is_of(one));
        assert!(!epoch(7, 1).is_of(other));
        assert!(!epoch(7, 0).is_of(one), "made by who was not told");
        assert!(epoch(7, 1).is_of(None), "of a server that does not tell");
    }
}
