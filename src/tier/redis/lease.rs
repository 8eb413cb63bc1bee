//! Leases that processes share: a token under a name of its own, which ends by itself, and which every
//! write of the key takes away. What its holder made is kept in the transaction that finds the token
//! still there.

use std::time::Duration;

use redis::Value;

use super::epoch::Epoch;
use super::reply::{array, bytes, no_reply, number, text};
use super::stored::{Head, Stay};
use super::{RedisTier, Step, random, set, strings, unlink};
use crate::error::Result;
use crate::redis::{Link, Trouble};
use crate::tier::{Key, Lease, Leased, Term};

/// How long the server remembers the fence of a key after its lease. The next one begins at the server's
/// clock, in microseconds, which is further on by then.
const FENCE_KEPT: Duration = Duration::from_secs(86_400);

/// A lease, as the server has it.
struct Seen {
    epoch: Option<Epoch>,
    token: Option<u128>,
    fence: u64,
    stay: Stay,
    /// The server's clock, in microseconds.
    now: u64,
}

impl RedisTier {
    pub(super) fn take_lease(&self, key: &Key, time: Duration) -> Result<Leased> {
        let token = u128::from_le_bytes(random()?).max(1);
        self.run(|link, epoch| {
            let seen = self.look(link, epoch, key)?;
            if seen.epoch != Some(epoch) {
                return Ok(Step::Moved(seen.epoch));
            }
            // An attempt before this one may have taken it, and not heard of it.
            if seen.token == Some(token) {
                let fence = seen.fence;
                return Ok(Step::Done(Leased::Granted(Lease { token, fence })));
            }
            // A lease without an end is none of ours.
            if let (Some(_), Stay::For(left)) = (seen.token, seen.stay) {
                return Ok(Step::Done(Leased::Held(left)));
            }
            let fence = seen.fence.saturating_add(1).max(seen.now);
            let mut take = self.transaction();
            let kept = ms(time.saturating_add(FENCE_KEPT));
            let name = self.names.lease(epoch.number, key);
            take.add_command(set(&name, token_text(token).as_bytes(), Some(ms(time))));
            let text = fence.to_string();
            take.add_command(set(&self.names.fence(key), text.as_bytes(), Some(kept)));
            Ok(match link.tell_again(&take)? {
                Some(_) => Step::Done(Leased::Granted(Lease { token, fence })),
                None => Step::Contested,
            })
        })
    }

    pub(super) fn prolong(&self, key: &Key, lease: &Lease, time: Duration) -> Result<bool> {
        self.run(|link, epoch| {
            if let Some(step) = self.unless_held(link, epoch, key, lease)? {
                return Ok(step);
            }
            let mut renew = self.transaction();
            let name = self.names.lease(epoch.number, key);
            renew.cmd("PEXPIRE").arg(name).arg(ms(time));
            Ok(match link.tell_again(&renew)? {
                Some(replies) => Step::Done(replies.last().map(number) == Some(1)),
                None => Step::Contested,
            })
        })
    }

    pub(super) fn fill_under(
        &self,
        key: &Key,
        lease: &Lease,
        value: &[u8],
        version: u64,
        term: Term,
    ) -> Result<bool> {
        let (head, ms) = Head::new(version, term.resolve(self.ttl)?);
        if value.len() > super::MAX_VALUE_BYTES {
            self.give_back(key, lease)?;
            return Ok(false);
        }
        self.run(|link, epoch| {
            if let Some(step) = self.unless_held(link, epoch, key, lease)? {
                return Ok(step);
            }
            let name = self.names.value(epoch.number, key);
            let mut fill = self.transaction();
            fill.add_command(set(&name, &head.encode(&name, value), ms));
            fill.add_command(unlink(&self.names.lease(epoch.number, key)));
            Ok(match self.written(link, epoch, &name, fill)? {
                Step::Done(()) => Step::Done(true),
                Step::Moved(now) => Step::Moved(now),
                Step::Contested => Step::Contested,
            })
        })
    }

    pub(super) fn give_back(&self, key: &Key, lease: &Lease) -> Result<()> {
        self.run(|link, epoch| {
            if let Some(step) = self.unless_held(link, epoch, key, lease)? {
                return Ok(step.map(|_| ()));
            }
            let mut release = self.transaction();
            release.add_command(unlink(&self.names.lease(epoch.number, key)));
            Ok(match link.tell_again(&release)? {
                Some(_) => Step::Done(()),
                None => Step::Contested,
            })
        })
    }

    /// `None` if the lease is held still; its name and the epoch are watched from then on.
    fn unless_held(
        &self,
        link: &mut Link,
        epoch: Epoch,
        key: &Key,
        lease: &Lease,
    ) -> Result<Option<Step<bool>>, Trouble> {
        let seen = self.look(link, epoch, key)?;
        if seen.epoch != Some(epoch) {
            return Ok(Some(Step::Moved(seen.epoch)));
        }
        let is_held = seen.token == Some(lease.token) && seen.stay.is_there();
        Ok((!is_held).then_some(Step::Done(false)))
    }

    fn look(&self, link: &mut Link, epoch: Epoch, key: &Key) -> Result<Seen, Trouble> {
        let (epoch, lease) = (self.names.epoch(), self.names.lease(epoch.number, key));
        let fence = self.names.fence(key);
        let mut look = redis::pipe();
        look.cmd("WATCH").arg(epoch).arg(&lease).arg(&fence);
        look.add_command(strings([epoch, &lease, &fence]));
        look.cmd("PTTL").arg(&lease).cmd("TIME");
        let replies = link.watch(&look)?;
        let [_, held, pttl, time] = &replies[..] else {
            return Err(no_reply());
        };
        let held = array(held);
        let word = |at: usize| held.get(at).and_then(text);
        Ok(Seen {
            epoch: held.first().and_then(Epoch::read),
            token: word(1).and_then(|text| u128::from_str_radix(text, 16).ok()),
            fence: word(2).and_then(|text| text.parse().ok()).unwrap_or(0),
            stay: Stay::read(number(pttl)),
            now: microseconds(time),
        })
    }
}

impl<T> Step<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Step::Done(done) => Step::Done(f(done)),
            Step::Moved(now) => Step::Moved(now),
            Step::Contested => Step::Contested,
        }
    }
}

fn token_text(token: u128) -> String {
    format!("{token:032x}")
}

fn ms(time: Duration) -> u64 {
    // The server refuses what its clock cannot count.
    let most = Duration::from_secs(u64::from(u32::MAX));
    (time.min(most).as_millis() as u64).max(1)
}

/// The reply to `TIME`: seconds and microseconds.
fn microseconds(reply: &Value) -> u64 {
    let number = |at: usize| {
        let text = array(reply).get(at).and_then(bytes)?;
        std::str::from_utf8(text).ok()?.parse::<u64>().ok()
    };
    let (seconds, micros) = (number(0).unwrap_or(0), number(1).unwrap_or(0));
    seconds.saturating_mul(1_000_000).saturating_add(micros)
}
