//! The part of a bounded map that its mutex guards: the order of eviction, counts, bytes, and what
//! is known of each slot beside its entry. Plain code; it never sees a key or a value.

use super::limits::{BoundedStats, Limits, RemovalCause, Usage};
use crate::eviction::{Deadline, Deadlines, EvictionPolicy, FOREVER, Id};

/// Order, counts and bytes.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) order: Box<dyn EvictionPolicy>,
    pub(super) slots: Slots,
    /// Of the entries that expire.
    deadlines: Deadlines,
    pub(super) stats: BoundedStats,
}

impl Ledger {
    pub(super) fn new(order: Box<dyn EvictionPolicy>, limits: Limits) -> Self {
        Ledger {
            order,
            slots: Slots::default(),
            deadlines: Deadlines::default(),
            stats: BoundedStats::new(limits),
        }
    }

    #[inline]
    pub(super) fn limits(&self) -> &Limits {
        &self.stats.limits
    }

    #[inline]
    pub(super) fn usage(&self) -> Usage {
        self.stats.usage
    }

    /// Whether an entry fits by count, in place of the one it replaces if there is one.
    #[inline]
    pub(super) fn has_place(&self, replaced: Option<Id>) -> bool {
        replaced.is_some() || self.stats.usage.items < self.stats.limits.max_items
    }

    /// Whether an entry of this weight fits, in place of the one it replaces if there is one.
    #[inline]
    pub(super) fn fits(&self, weight: u64, replaced: Option<Id>) -> bool {
        let returned = replaced.map_or(0, |id| self.slots.slots[id as usize].weight);
        // Cannot wrap: the map is always within its limits.
        let free = self.stats.limits.max_bytes - (self.stats.usage.bytes - returned);
        self.has_place(replaced) && weight <= free
    }

    /// A new entry; returns its slot.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, weight: u64) -> Id {
        self.stats.stored += 1;
        self.stats.usage.items += 1;
        self.stats.usage.bytes += weight;
        let id = self.slots.allocate(Slot {
            hash,
            weight,
            stamp: self.stats.stored,
        });
        self.order.inserted(id, hash);
        id
    }

    /// Whether the entry's time is over.
    pub(super) fn is_over(&self, id: Id, now: Deadline) -> bool {
        self.deadlines.is_over(id, now)
    }

    /// The entry whose time was over first, if any is.
    pub(super) fn overdue(&self, now: Deadline) -> Option<Id> {
        let (deadline, id) = self.deadlines.first(None)?;
        (deadline <= now).then_some(id)
    }

    /// The entry, new or with a new value, ends then; the one before had another end, or none.
    #[inline]
    pub(super) fn ends_at(&mut self, id: Id, deadline: Deadline) {
        if deadline == FOREVER {
            self.deadlines.remove(id);
        } else {
            self.deadlines.set(id, deadline);
        }
        self.order.ends_at(id, deadline);
    }

    /// A new value in an old entry, which keeps its place in the order.
    pub(super) fn replace(&mut self, id: Id, weight: u64) {
        self.stats.stored += 1;
        self.stats.count_removed(RemovalCause::Replaced, 1);
        let slot = &mut self.slots.slots[id as usize];
        self.stats.usage.bytes = self.stats.usage.bytes - slot.weight + weight;
        slot.weight = weight;
        slot.stamp = self.stats.stored;
    }

    /// The end of an entry that is no longer in the map.
    #[inline]
    pub(super) fn end(&mut self, id: Id, cause: RemovalCause) {
        let weight = self.slots.slots[id as usize].weight;
        self.order.removed(id);
        self.deadlines.remove(id);
        self.slots.free.push(id);
        self.stats.usage.items -= 1;
        self.stats.usage.bytes -= weight;
        self.stats.count_removed(cause, 1);
    }

    pub(super) fn clear(&mut self) {
        let items = self.stats.usage.items as u64;
        self.stats.count_removed(RemovalCause::Explicit, items);
        self.stats.usage = Usage::default();
        self.slots = Slots::default();
        self.deadlines.clear();
        self.order.clear();
    }
}

/// What is known of each slot beside its entry. A freed slot is given out again first.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<Id>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    weight: u64,
    /// The number of the value: no other is ever mistaken for it.
    stamp: u64,
}

impl Slots {
    #[inline]
    pub(super) fn hash(&self, id: Id) -> u64 {
        self.slots[id as usize].hash
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn weight(&self, id: Id) -> u64 {
        self.slots[id as usize].weight
    }

    pub(super) fn stamp(&self, id: Id) -> u64 {
        self.slots[id as usize].stamp
    }

    #[inline]
    fn allocate(&mut self, slot: Slot) -> Id {
        if let Some(id) = self.free.pop() {
            self.slots[id as usize] = slot;
            return id;
        }
        let Ok(id) = Id::try_from(self.slots.len()) else {
            unreachable!("2^32 entries do not fit in memory");
        };
        self.slots.push(slot);
        id
    }
}
