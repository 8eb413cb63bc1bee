//! How much warming may put into a cache: what there is room for, and beyond that no more than its
//! share, so that what is hot stays.

use std::sync::Arc;

use crate::primitives::Mutex;
use crate::ratio::Ratio;
use crate::tier::{Key, Tier};

/// What an entry takes beside its key and its value, about.
const ENTRY_BYTES: u64 = 200;

/// The room of one round of warming.
pub(super) struct Room {
    tier: Arc<dyn Tier>,
    ledger: Mutex<Ledger>,
}

#[derive(Debug)]
struct Ledger {
    /// What others of the round are about to put.
    reserved: Size,
    /// What may still be put where others have to leave for it.
    share: Size,
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    entries: u64,
    bytes: u64,
}

/// Room for one entry, until it is dropped: put it meanwhile.
pub(super) struct Reserved<'r> {
    room: &'r Room,
    size: Size,
}

impl Room {
    /// The room of a tier, and this share of it.
    pub(super) fn of(tier: Arc<dyn Tier>, share: Ratio) -> Self {
        let usage = tier.usage();
        let share = Size {
            entries: usage.capacity.map_or(0, |most| share.of(most as u64)),
            bytes: usage.max_bytes.map_or(u64::MAX, |most| share.of(most)),
        };
        Room {
            tier,
            ledger: Mutex::new(Ledger {
                reserved: Size::default(),
                share,
            }),
        }
    }

    /// Room for a value of so many bytes; `None` if there is none left.
    pub(super) fn reserve(&self, key: &Key, bytes: usize) -> Option<Reserved<'_>> {
        let mut size = Size {
            entries: 1,
            bytes: ENTRY_BYTES + (key.as_str().len() + bytes) as u64,
        };
        // What is there already is written over. A tier that cannot tell has room, or fails later.
        if matches!(self.tier.peek(key), Ok(Some(_))) {
            size.entries = 0;
        }
        let usage = self.tier.usage();
        let mut ledger = self.ledger.lock();
        let entries = usage.entries as u64 + ledger.reserved.entries + size.entries;
        let taken = usage.bytes.unwrap_or(0) + ledger.reserved.bytes + size.bytes;
        let is_free = usage.capacity.is_none_or(|most| entries <= most as u64)
            && usage.max_bytes.is_none_or(|most| taken <= most);
        if !is_free {
            let share = ledger.share;
            ledger.share = Size {
                entries: share.entries.checked_sub(1)?,
                bytes: share.bytes.checked_sub(size.bytes)?,
            };
        }
        ledger.reserved.entries += size.entries;
        ledger.reserved.bytes += size.bytes;
        Some(Reserved { room: self, size })
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut ledger = self.room.ledger.lock();
        ledger.reserved.entries -= self.size.entries;
        ledger.reserved.bytes -= self.size.bytes;
    }
}
