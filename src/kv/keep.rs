//! Where what a load has made is kept, if it may be.

use std::sync::Arc;
use std::time::Duration;

use super::envelope::Envelope;
use super::load::{Flying, Order, Right};
use super::{KvCache, KvChange};
use crate::error::{Error, ErrorKind, Result};
use crate::tier::{Entry, Update};

impl KvCache {
    /// Keeps what was made, in the key's turn, if nothing has changed the key since the load began. What
    /// its source does not have is forgotten.
    pub(super) fn keep(
        &self,
        lead: &Flying<'_>,
        order: &Order,
        right: &mut Right<'_>,
        made: Option<&Envelope>,
    ) {
        let Ok(turn) = self.counted(self.0.turns.take(&order.key)) else {
            return;
        };
        let is_void = !lead.is_valid() || self.0.bulk.covers(&order.key) || !self.is_enabled();
        let kept = match (is_void, made) {
            (true, _) => Ok(!self.is_enabled()),
            (false, Some(envelope)) => self.fill(lead, order, right, envelope),
            (false, None) if order.before.is_some() => self.drop_gone(order),
            (false, None) => Ok(true),
        };
        drop(turn);
        // Others may have copies of what it was before.
        if !is_void && order.before.is_some() {
            self.tell(KvChange::Key(&order.key));
        }
        // The value is answered all the same.
        if !self.counted(kept).unwrap_or(true) {
            self.0.counters.voided.bump();
        }
    }

    /// Puts what was made, by the right that there is; whether it could be.
    fn fill(
        &self,
        lead: &Flying<'_>,
        order: &Order,
        right: &mut Right<'_>,
        envelope: &Envelope,
    ) -> Result<bool> {
        let version = self.0.versions.next(&*self.0.clock);
        let (value, term) = (envelope.sealed(), order.term);
        match right {
            Right::Alone => {
                let put = self.0.tier.put(&order.key, value, version, term);
                put.map(|_| true)
            }
            Right::Leased(kept) => match kept.fill(Arc::clone(&value), version, term) {
                Err(away) if kept.is_believed() && self.may_keep_aside(&away) => {
                    _ = self.counted(Err::<(), _>(away));
                    self.fill_aside(lead, order, kept.since(), value, version)
                }
                filled => filled,
            },
            Right::Aside(since) => self.fill_aside(lead, order, *since, value, version),
            Right::None | Right::Needless(_) => Ok(false),
        }
    }

    /// Whether after an error of the tier the one that processes share is away, and there are others to
    /// keep copies in. One that is there, and refused only this, goes on to hold what others put: it is
    /// not hidden by a copy.
    pub(super) fn may_keep_aside(&self, error: &Error) -> bool {
        let tier = &self.0.tier;
        error.kind() == ErrorKind::Unavailable && tier.is_away() && tier.has_copies()
    }

    /// Puts what was made since then where no other process sees it, unless it is void, or another value
    /// has come up meanwhile, which may be newer.
    fn fill_aside(
        &self,
        lead: &Flying<'_>,
        order: &Order,
        since: Duration,
        value: Arc<[u8]>,
        version: u64,
    ) -> Result<bool> {
        let key = &order.key;
        let may_keep = |held: Option<&Entry>| {
            let is_void = !lead.is_valid() || self.0.bulk.covers(key);
            !is_void && (held.is_none() || order.is_before(held))
        };
        let ago = self.0.clock.elapsed().saturating_sub(since);
        let tier = &self.0.tier;
        tier.keep_copy(key, value, version, order.term, ago, &may_keep)
    }

    /// Forgets a value that its source has no more.
    fn drop_gone(&self, order: &Order) -> Result<bool> {
        let mut gone = false;
        self.0.tier.update(&order.key, &mut |entry| {
            gone = order.is_before(entry);
            Ok(match gone {
                true => Update::Remove,
                false => Update::Leave,
            })
        })?;
        Ok(gone)
    }
}

impl Order {
    /// Whether the entry is still what was there when the load began.
    fn is_before(&self, entry: Option<&Entry>) -> bool {
        entry.map(|entry| entry.version) == self.before
    }
}
