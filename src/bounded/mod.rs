//! A concurrent map that is never above its limits, by count or by bytes, at any moment that anyone
//! can observe. A read takes the read lock of one shard and leaves a mark; inserts and removals take
//! one mutex that guards order, counts and bytes: reserve, evict, then insert.
//!
//! What it evicts or replaces is handed back, so that values are dropped by the caller, outside
//! every lock. It knows nothing of files or loads, and of time only what it is told with a value: what
//! expires leaves before anything that does not.

mod ledger;
mod limits;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use smallvec::SmallVec;

use self::ledger::Ledger;
pub use self::limits::{BoundedStats, Limits, RemovalCause, Usage};
use crate::eviction::{Deadline, FOREVER, Id, Marks, Strategy};
use crate::primitives::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Shards are for readers beside a writer; writers take turns anyway.
const SHARDS: usize = 16;
/// How many victims are taken out together, before a waiting insert is let in.
const TOGETHER: usize = 128;
/// How many look-ups of `get_many` are under way together.
const GROUP: usize = 64;

/// Entries that left the map, to be dropped by their new owner.
pub type Evicted<K, V> = SmallVec<[(K, V); 1]>;

/// What an insertion did.
#[derive(Debug)]
#[must_use = "dropping what was evicted may take a while: do it outside your own locks"]
pub struct Inserted<K, V> {
    /// Whether the value is in the map: not if it alone exceeds the limits.
    pub kept: bool,
    /// The older value of the key, also if the new one was not kept.
    pub replaced: Option<V>,
    /// Who made room, what had expired first, then the first victim first.
    pub evicted: Evicted<K, V>,
}

/// The time of an insertion, and the end of what is inserted, on one clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) now: Deadline,
    pub(crate) end: Deadline,
}

impl Span {
    /// Without a clock.
    const ENDLESS: Span = Span {
        now: 0,
        end: FOREVER,
    };
}

/// What a key held at some time: a value, by its number, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<u64>);

/// The map. Keys are hashed once a call; values are cloned out, so they are `Arc`s or small.
///
/// Order and limits are those of the whole map, not of a shard.
pub struct BoundedMap<K, V> {
    hasher: RandomState,
    marks: Marks,
    shards: Box<[Shard<K, V>]>,
    /// Taken before a shard's lock, never after.
    ledger: Mutex<Ledger>,
}

/// On cache lines of its own: readers of one shard do not slow those of the next.
#[repr(align(128))]
struct Shard<K, V>(RwLock<Table<K, V>>);

type Table<K, V> = HashTable<Entry<K, V>>;

/// A shard that a writer has locked for an insert, while it evicts.
type Open<'m, K, V> = Option<(usize, RwLockWriteGuard<'m, Table<K, V>>)>;

struct Entry<K, V> {
    key: K,
    value: V,
    slot: Id,
}

impl<K: Hash + Eq, V: Clone> BoundedMap<K, V> {
    /// An empty map.
    pub fn new(limits: Limits, strategy: Strategy) -> Self {
        let (marks, order) = strategy.build();
        let shard = || Shard(RwLock::new(HashTable::new()));
        BoundedMap {
            hasher: RandomState::default(),
            marks,
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            ledger: Mutex::new(Ledger::new(order, limits)),
        }
    }

    /// The value of the key. Counts as an access.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let table = self.shard(hash).0.read();
        let entry = find(&table, hash, key)?;
        // Under the shard's lock: the slot cannot pass to another entry.
        self.marks.accessed(entry.slot);
        Some(entry.value.clone())
    }

    /// The value of the key. Not an access: for scans, and for those who only look.
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let table = self.shard(hash).0.read();
        let entry = find(&table, hash, key)?;
        Some(entry.value.clone())
    }

    /// The values of the keys, in their order. Each found one counts as an access. Faster than as
    /// many `get`s: the waits for memory overlap.
    pub fn get_many<Q>(&self, keys: &[&Q]) -> Vec<Option<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut values = Vec::with_capacity(keys.len());
        for group in keys.chunks(GROUP) {
            self.get_group(group, &mut values);
        }
        values
    }

    /// Stores the value, which weighs so many bytes. Not an access: a new entry takes its place in
    /// the order, a replaced one keeps its own.
    ///
    /// Room is made first: an overflow by count evicts a batch, the byte limit takes as many more
    /// as it needs, and the entry being stored is never among them. A value that alone exceeds the
    /// limits is not kept, and what its key held before is removed.
    pub fn insert(&self, key: K, value: V, weight: u64) -> Inserted<K, V> {
        self.insert_within(key, value, weight, Span::ENDLESS)
    }

    /// The same for a value that expires. Room is made of what has expired first, the longest ago
    /// first, and only if that is not enough by eviction. An entry whose time is over is not
    /// replaced: it expires, and the new one is new. Those are among `evicted`.
    ///
    /// Nothing else leaves by itself: see [`BoundedMap::remove_expired`].
    pub(crate) fn insert_within(
        &self,
        key: K,
        value: V,
        weight: u64,
        span: Span,
    ) -> Inserted<K, V> {
        let hash = self.hasher.hash_one(&key);
        self.insert_locked(hash, key, value, weight, span, self.ledger.lock())
    }

    /// The lock is the last argument, and so the first to be let go of: the others and what leaves
    /// outlive it, and nothing is dropped under it.
    fn insert_locked(
        &self,
        hash: u64,
        key: K,
        value: V,
        weight: u64,
        span: Span,
        mut ledger: MutexGuard<'_, Ledger>,
    ) -> Inserted<K, V> {
        let mut evicted = SmallVec::new();
        if !ledger.limits().admit(weight) {
            let outgrown = self.take(&mut ledger, hash, &key, RemovalCause::Replaced);
            drop(ledger);
            return Inserted {
                kept: false,
                replaced: outgrown.map(|entry| entry.value),
                evicted,
            };
        }
        let mut table = self.shard(hash).0.write();
        let mut held = find(&table, hash, &key).map(|entry| entry.slot);
        if let Some(id) = held.filter(|id| ledger.is_over(*id, span.now)) {
            let entry = unlink_slot(&mut table, hash, id);
            ledger.end(id, RemovalCause::Expired);
            evicted.push((entry.key, entry.value));
            held = None;
        }
        if !ledger.fits(weight, held) {
            let mut open = Some((shard_of(hash), table));
            while !ledger.fits(weight, held)
                && let Some(entry) = self.take_overdue(&mut ledger, &mut open, span.now)
            {
                evicted.push((entry.key, entry.value));
            }
            self.make_room(&mut ledger, &mut open, weight, held, &mut evicted);
            table = match open {
                Some((_, table)) => table,
                None => self.shard(hash).0.write(),
            };
        }
        let replaced = match held {
            Some(id) => {
                ledger.replace(id, weight);
                ledger.ends_at(id, span.end);
                let entry = table.find_mut(hash, |entry| entry.slot == id);
                entry.map(|entry| std::mem::replace(&mut entry.value, value))
            }
            None => {
                let slot = ledger.add(hash, weight);
                if span.end != FOREVER {
                    ledger.ends_at(slot, span.end);
                }
                let entry = Entry { key, value, slot };
                table.insert_unique(hash, entry, |entry| ledger.slots.hash(entry.slot));
                None
            }
        };
        Inserted {
            kept: true,
            replaced,
            evicted,
        }
    }

    /// What the key holds now, and whether that is still so later can be asked of
    /// [`BoundedMap::insert_if`] and [`BoundedMap::remove_still`]. Not an access.
    pub(crate) fn held<Q>(&self, key: &Q) -> (Option<V>, Stamp)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let ledger = self.ledger.lock();
        let table = self.shard(hash).0.read();
        match find(&table, hash, key) {
            Some(entry) => {
                let stamp = Stamp(Some(ledger.slots.stamp(entry.slot)));
                (Some(entry.value.clone()), stamp)
            }
            None => (None, Stamp(None)),
        }
    }

    /// As [`BoundedMap::insert_within`], if the key still holds what it held; `None`, and nothing is
    /// done, if not.
    pub(crate) fn insert_if(
        &self,
        seen: Stamp,
        key: K,
        value: V,
        weight: u64,
        span: Span,
    ) -> Option<Inserted<K, V>> {
        let ledger = self.ledger.lock();
        let hash = self.hasher.hash_one(&key);
        if Stamp(self.stamp_of(&ledger, hash, &key)) != seen {
            return None;
        }
        Some(self.insert_locked(hash, key, value, weight, span, ledger))
    }

    /// Takes the entry out if the key still holds what it held; whether it does not hold it any more by
    /// this call.
    pub(crate) fn remove_still<Q>(&self, seen: Stamp, key: &Q, cause: RemovalCause) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut ledger = self.ledger.lock();
        if Stamp(self.stamp_of(&ledger, hash, key)) != seen {
            return false;
        }
        let entry = self.take(&mut ledger, hash, key, cause);
        drop(ledger);
        drop(entry);
        true
    }

    /// Stores the value if nobody has to leave for it and its key has none; whether it did.
    pub fn offer(&self, key: K, value: V, weight: u64) -> bool {
        let hash = self.hasher.hash_one(&key);
        let mut ledger = self.ledger.lock();
        let mut table = self.shard(hash).0.write();
        if !ledger.fits(weight, None) || find(&table, hash, &key).is_some() {
            return false;
        }
        let slot = ledger.add(hash, weight);
        let entry = Entry { key, value, slot };
        table.insert_unique(hash, entry, |entry| ledger.slots.hash(entry.slot));
        true
    }

    /// Takes the entry out; `None`, and nothing is counted, if there is none.
    pub fn remove<Q>(&self, key: &Q, cause: RemovalCause) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let entry = self.take(&mut self.ledger.lock(), hash, key, cause);
        Some(entry?.value)
    }

    /// Takes the entry out if its value meets the condition, which is asked outside every lock and,
    /// should the value change meanwhile, asked again.
    pub fn remove_if<Q>(
        &self,
        key: &Q,
        cause: RemovalCause,
        condition: impl Fn(&V) -> bool,
    ) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        loop {
            let (value, seen) = {
                let ledger = self.ledger.lock();
                let table = self.shard(hash).0.read();
                let entry = find(&table, hash, key)?;
                (entry.value.clone(), ledger.slots.stamp(entry.slot))
            };
            if !condition(&value) {
                return None;
            }
            let mut ledger = self.ledger.lock();
            let now = self.stamp_of(&ledger, hash, key)?;
            if now == seen {
                let entry = self.take(&mut ledger, hash, key, cause);
                drop(ledger);
                return Some(entry?.value);
            }
        }
    }

    /// Takes out up to `n` entries, the next victims first, because of pressure. Inserts may come
    /// between them.
    pub fn evict(&self, n: usize) -> Vec<(K, V)> {
        let mut evicted = Vec::new();
        while evicted.len() < n {
            let mut ledger = self.ledger.lock();
            let most = TOGETHER.min(n - evicted.len());
            let cause = RemovalCause::Pressure;
            let taken = self.take_victims(&mut ledger, &mut None, most, None, cause, |entry| {
                evicted.push((entry.key, entry.value));
            });
            if taken == 0 {
                break;
            }
        }
        evicted
    }

    /// Takes out up to `most` entries whose time is over, the longest ago first. Inserts may come
    /// between them.
    pub(crate) fn remove_expired(&self, now: Deadline, most: usize) -> Vec<(K, V)> {
        let mut expired = Vec::new();
        while expired.len() < most {
            let mut ledger = self.ledger.lock();
            let before = expired.len();
            let entries = std::iter::from_fn(|| self.take_overdue(&mut ledger, &mut None, now));
            expired.extend(
                entries
                    .take(TOGETHER.min(most - before))
                    .map(|entry| (entry.key, entry.value)),
            );
            if expired.len() == before {
                break;
            }
        }
        expired
    }

    /// Takes out everything.
    pub fn clear(&self) -> Vec<(K, V)> {
        let tables: Vec<Table<K, V>> = {
            let mut ledger = self.ledger.lock();
            let shards = self.shards.iter();
            let tables = shards.map(|shard| std::mem::take(&mut *shard.0.write()));
            let tables = tables.collect();
            ledger.clear();
            tables
        };
        let entries = tables.into_iter().flatten();
        entries.map(|entry| (entry.key, entry.value)).collect()
    }

    /// Sets other limits and evicts what is over them, at once.
    pub fn set_limits(&self, limits: Limits) -> Vec<(K, V)> {
        let mut evicted = Vec::new();
        let mut ledger = self.ledger.lock();
        while limits.exceeded_by(ledger.usage()) {
            let cause = RemovalCause::Capacity;
            let taken = self.take_victims(&mut ledger, &mut None, 1, None, cause, |entry| {
                evicted.push((entry.key, entry.value));
            });
            if taken == 0 {
                break;
            }
        }
        ledger.stats.limits = limits;
        evicted
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.usage().items
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of their weights.
    pub fn bytes(&self) -> u64 {
        self.usage().bytes
    }

    /// Entries and bytes of one instant.
    pub fn usage(&self) -> Usage {
        self.ledger.lock().usage()
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        *self.ledger.lock().limits()
    }

    /// Usage, limits and counts of one instant.
    pub fn stats(&self) -> BoundedStats {
        self.ledger.lock().stats
    }

    /// The keys of one instant, in no order.
    pub fn keys(&self) -> Vec<K>
    where
        K: Clone,
    {
        let ledger = self.ledger.lock();
        let mut keys = Vec::with_capacity(ledger.usage().items);
        for shard in &self.shards {
            keys.extend(shard.0.read().iter().map(|entry| entry.key.clone()));
        }
        keys
    }

    /// Asserts that storage, order, counts and bytes agree. The map must be at rest or its state is
    /// frozen meanwhile, so: for tests.
    #[cfg(any(test, debug_assertions))]
    pub fn validate(&self) {
        let ledger = self.ledger.lock();
        let mut ids = std::collections::HashSet::new();
        let mut bytes = 0;
        for (index, shard) in self.shards.iter().enumerate() {
            for entry in shard.0.read().iter() {
                assert!(ids.insert(entry.slot), "one entry a slot");
                let hash = self.hasher.hash_one(&entry.key);
                assert_eq!(hash, ledger.slots.hash(entry.slot));
                assert_eq!(index, shard_of(hash));
                bytes += ledger.slots.weight(entry.slot);
            }
        }
        let (usage, stats) = (ledger.usage(), ledger.stats);
        assert_eq!(ids.len(), usage.items, "entries are counted");
        assert_eq!(ids.len(), ledger.order.len(), "entries are in the order");
        assert_eq!(bytes, usage.bytes, "bytes are counted");
        assert!(!stats.limits.exceeded_by(usage), "{usage:?} is over");
        let removed: u64 = RemovalCause::ALL.iter().map(|c| stats.removed(*c)).sum();
        assert_eq!(stats.stored - removed, ids.len() as u64);
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Shard<K, V> {
        &self.shards[shard_of(hash)]
    }

    fn stamp_of<Q>(&self, ledger: &Ledger, hash: u64, key: &Q) -> Option<u64>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let table = self.shard(hash).0.read();
        let entry = find(&table, hash, key)?;
        Some(ledger.slots.stamp(entry.slot))
    }

    /// Takes out the entry whose time was over first, beside the shard that is open.
    fn take_overdue<'m>(
        &'m self,
        ledger: &mut Ledger,
        open: &mut Open<'m, K, V>,
        now: Deadline,
    ) -> Option<Entry<K, V>> {
        let id = ledger.overdue(now)?;
        let hash = ledger.slots.hash(id);
        let entry = self.with_shard(open, shard_of(hash), |table| unlink_slot(table, hash, id));
        ledger.end(id, RemovalCause::Expired);
        Some(entry)
    }

    /// Evicts until an entry of this weight fits, in place of the one it replaces if there is one.
    fn make_room<'m>(
        &'m self,
        ledger: &mut Ledger,
        open: &mut Open<'m, K, V>,
        weight: u64,
        replaced: Option<Id>,
        evicted: &mut Evicted<K, V>,
    ) {
        let overflow = !ledger.has_place(replaced);
        let mut batch = if overflow { ledger.limits().batch() } else { 0 };
        evicted.reserve(batch);
        // Ends: what is admitted fits into an empty map, and a batch is no larger than a full one.
        while batch > 0 || !ledger.fits(weight, replaced) {
            let most = batch.clamp(1, TOGETHER);
            let cause = RemovalCause::Capacity;
            let taken = self.take_victims(ledger, open, most, replaced, cause, |entry| {
                evicted.push((entry.key, entry.value));
            });
            assert!(taken > 0, "no victim in a map that is full");
            batch = batch.saturating_sub(taken);
        }
    }

    /// Evicts up to `most` entries, beside the shard that is open, and hands them over in order; at
    /// least one unless none is left. Returns how many.
    fn take_victims<'m>(
        &'m self,
        ledger: &mut Ledger,
        open: &mut Open<'m, K, V>,
        most: usize,
        spared: Option<Id>,
        cause: RemovalCause,
        mut gone: impl FnMut(Entry<K, V>),
    ) -> usize {
        if most == 1 {
            let Some(id) = ledger.order.victim(spared) else {
                return 0;
            };
            let hash = ledger.slots.hash(id);
            gone(self.with_shard(open, shard_of(hash), |table| unlink_slot(table, hash, id)));
            ledger.end(id, cause);
            return 1;
        }
        let mut named = SmallVec::new();
        ledger.order.victims(most, spared, &mut named);
        // Shard by shard: each is locked once, and the waits for the memory of its victims overlap.
        let hashes: SmallVec<[u64; TOGETHER]> =
            named.iter().map(|id| ledger.slots.hash(*id)).collect();
        let places = hashes.iter().map(|hash| shard_of(*hash)).zip(0..);
        let mut by_shard: SmallVec<[u32; TOGETHER]> = places
            .map(|(shard, at)| (shard as u32) << 16 | at)
            .collect();
        by_shard.sort_unstable();
        let mut entries: SmallVec<[Option<Entry<K, V>>; 4]> = named.iter().map(|_| None).collect();
        for group in by_shard.chunk_by(|one, next| one >> 16 == next >> 16) {
            self.with_shard(open, (group[0] >> 16) as usize, |table| {
                for place in group {
                    let at = (place & 0xffff) as usize;
                    entries[at] = Some(unlink_slot(table, hashes[at], named[at]));
                }
            });
        }
        named.iter().for_each(|id| ledger.end(*id, cause));
        entries.into_iter().flatten().for_each(gone);
        named.len()
    }

    /// Writes to a shard: the open one, or another beside it.
    fn with_shard<'m, R>(
        &'m self,
        open: &mut Open<'m, K, V>,
        shard: usize,
        write: impl FnOnce(&mut Table<K, V>) -> R,
    ) -> R {
        match open {
            Some((at, table)) if *at == shard => write(table),
            _ => match self.shards[shard].0.try_write() {
                Some(mut table) => write(&mut table),
                // Nobody waits for one shard while it holds another.
                None => {
                    *open = None;
                    write(&mut self.shards[shard].0.write())
                }
            },
        }
    }

    fn take<Q>(
        &self,
        ledger: &mut Ledger,
        hash: u64,
        key: &Q,
        cause: RemovalCause,
    ) -> Option<Entry<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let entry = unlink(&mut self.shard(hash).0.write(), hash, |entry| {
            entry.key.borrow() == key
        })?;
        ledger.end(entry.slot, cause);
        Some(entry)
    }

    /// Looks up at most `GROUP` keys. No locked instruction stands between two probes, so the
    /// processor runs ahead and has many of their cache misses under way at once.
    fn get_group<Q>(&self, keys: &[&Q], values: &mut Vec<Option<V>>)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hashes: SmallVec<[u64; GROUP]> =
            keys.iter().map(|key| self.hasher.hash_one(key)).collect();
        let wanted = hashes
            .iter()
            .fold(0u32, |set, hash| set | 1 << shard_of(*hash));
        // Several read locks at once are safe: writers take one at a time, and take turns.
        let tables: SmallVec<[Option<RwLockReadGuard<'_, _>>; SHARDS]> = (0..SHARDS)
            .map(|shard| (wanted & (1 << shard) != 0).then(|| self.shards[shard].0.read()))
            .collect();
        // The entry that a tag of seven bits points to: nearly always the right one. Its key is not
        // looked at yet, so that this loop is short and asks for many entries at once.
        let likely: SmallVec<[Option<&Entry<K, V>>; GROUP]> = hashes
            .iter()
            .map(|hash| tables[shard_of(*hash)].as_ref()?.find(*hash, |_| true))
            .collect();
        for entry in likely.iter().flatten() {
            std::hint::black_box(entry.slot);
        }
        let probes = keys.iter().zip(&hashes).zip(&likely);
        let found: SmallVec<[Option<&Entry<K, V>>; GROUP]> = probes
            .map(|((key, hash), likely)| match likely {
                Some(entry) if entry.key.borrow() == *key => Some(*entry),
                Some(_) => find(tables[shard_of(*hash)].as_ref()?, *hash, *key),
                None => None,
            })
            .collect();
        let slots: SmallVec<[Id; GROUP]> = found.iter().flatten().map(|e| e.slot).collect();
        self.marks.accessed_all(&slots);
        values.extend(
            found
                .iter()
                .map(|entry| entry.map(|entry| entry.value.clone())),
        );
    }
}

/// The entry of a key.
#[inline]
fn find<'t, K, V, Q>(table: &'t Table<K, V>, hash: u64, key: &Q) -> Option<&'t Entry<K, V>>
where
    K: Borrow<Q>,
    Q: Eq + ?Sized,
{
    table.find(hash, |entry| entry.key.borrow() == key)
}

/// Takes an entry out. Once the shard is unlocked no reader marks its slot any more.
fn unlink<K, V>(
    table: &mut Table<K, V>,
    hash: u64,
    which: impl FnMut(&Entry<K, V>) -> bool,
) -> Option<Entry<K, V>> {
    let found = table.find_entry(hash, which).ok()?;
    Some(found.remove().0)
}

fn unlink_slot<K, V>(table: &mut Table<K, V>, hash: u64, id: Id) -> Entry<K, V> {
    match unlink(table, hash, |entry| entry.slot == id) {
        Some(entry) => entry,
        None => unreachable!("slot {id} is in the order but not in the map"),
    }
}

/// From bits that the table of a shard does not use.
#[inline]
fn shard_of(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

impl<K, V> fmt::Debug for BoundedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ledger = self.ledger.lock();
        f.debug_struct("BoundedMap")
            .field("usage", &ledger.usage())
            .field("limits", ledger.limits())
            .finish_non_exhaustive()
    }
}
