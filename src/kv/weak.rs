//! `WeakCache`: values that somebody else owns. They can be found as long as anybody has them, and are gone
//! with their last owner.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::bounded::{BoundedMap, Limits, RemovalCause};
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::error::Result;
use crate::eviction::Strategy;
use crate::stats::Counter;
use crate::tier::Key;

/// A cache that keeps no value alive. When it knows as many as it may, those that are gone leave first,
/// and then the one that was used least recently.
pub struct WeakCache<V: ?Sized + Send + Sync> {
    name: String,
    map: BoundedMap<Key, Weak<V>>,
    hits: Counter,
    misses: Counter,
}

impl<V: ?Sized + Send + Sync> WeakCache<V> {
    /// An empty cache that knows at most so many values, one at least.
    pub fn new(name: impl Into<String>, max_items: usize) -> Self {
        let limits = Limits {
            max_items: max_items.max(1),
            max_bytes: u64::MAX,
            eviction_batch: 1,
        };
        WeakCache {
            name: name.into(),
            map: BoundedMap::new(limits, Strategy::Lru),
            hits: Counter::default(),
            misses: Counter::default(),
        }
    }

    /// The value of the key, if anybody still has it.
    pub fn get(&self, key: &Key) -> Option<Arc<V>> {
        let known = self.map.get(key);
        let value = known.as_ref().and_then(Weak::upgrade);
        match value {
            Some(_) => self.hits.bump(),
            None => self.misses.bump(),
        }
        if known.is_some() && value.is_none() {
            self.forget_gone(key);
        }
        value
    }

    /// Knows the value by this key, in place of the one that was known by it.
    pub fn put(&self, key: &Key, value: &Arc<V>) {
        let limits = self.map.stats().limits;
        if self.map.usage().items >= limits.max_items {
            self.sweep();
        }
        // Weak pointers own nothing that takes time to drop.
        drop(self.map.insert(key.clone(), Arc::downgrade(value), 1));
    }

    /// Forgets the key; whether its value was there.
    pub fn remove(&self, key: &Key) -> bool {
        let known = self.map.remove(key, RemovalCause::Explicit);
        known.is_some_and(|value| value.strong_count() > 0)
    }

    /// How many values are there.
    pub fn len(&self) -> usize {
        self.sweep();
        self.map.usage().items
    }

    /// Whether no value is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets those that are gone.
    fn sweep(&self) {
        let keys = self.map.keys();
        keys.iter().for_each(|key| self.forget_gone(key));
    }

    fn forget_gone(&self, key: &Key) {
        let is_gone = |value: &Weak<V>| value.strong_count() == 0;
        self.map.remove_if(key, RemovalCause::Expired, is_gone);
    }
}

impl WeakCache<dyn Any + Send + Sync> {
    /// The value of the key, if anybody still has it and it is of this type.
    pub fn get_as<T: Any + Send + Sync>(&self, key: &Key) -> Option<Arc<T>> {
        self.get(key)?.downcast().ok()
    }

    /// Knows a value of any type by this key.
    pub fn put_any<T: Any + Send + Sync>(&self, key: &Key, value: &Arc<T>) {
        let value: Arc<dyn Any + Send + Sync> = value.clone();
        self.put(key, &value);
    }
}

impl<V: ?Sized + Send + Sync> Cache for WeakCache<V> {
    fn name(&self) -> &str {
        &self.name
    }

    /// What the values weigh is their owners'.
    fn usage(&self) -> CacheUsage {
        CacheUsage {
            entries: self.map.usage().items,
            capacity: Some(self.map.stats().limits.max_items),
            bytes: None,
            max_bytes: None,
        }
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        Ok(self.map.evict(entries).len())
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        scope.matcher()?;
        Ok(self.map.clear().len())
    }

    fn clear(&self) -> Result<()> {
        self.map.clear();
        Ok(())
    }

    fn stats(&self) -> Result<CacheReport> {
        let stats = self.map.stats();
        let causes = [RemovalCause::Capacity, RemovalCause::Pressure];
        let evictions = causes.map(|cause| stats.removed(cause)).iter().sum();
        Ok(CacheReport::new(self.usage())
            .requests(self.hits.get(), self.misses.get())
            .evictions(evictions))
    }
}

impl<V: ?Sized + Send + Sync> fmt::Debug for WeakCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakCache")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: impl ToString) -> Key {
        Key::new(&n.to_string()).unwrap()
    }

    #[test]
    fn a_value_is_gone_when_its_last_owner_drops_it() {
        let cache = WeakCache::<str>::new("weak", 2);
        let value: Arc<str> = "a".into();
        cache.put(&key(1), &value);
        assert_eq!(cache.get(&key(1)).as_deref(), Some("a"));
        let other = Arc::clone(&value);
        drop(value);
        assert!(cache.get(&key(1)).is_some());
        drop(other);
        assert!(cache.get(&key(1)).is_none() && cache.is_empty());
        assert!(!cache.remove(&key(1)));
        let report = Cache::stats(&cache).unwrap();
        assert_eq!((report.hits, report.misses, report.evictions), (2, 1, 0));
    }

    #[test]
    fn those_that_are_gone_leave_before_anybody_else() {
        let cache = WeakCache::<u32>::new("weak", 2);
        let (one, two, three) = (Arc::new(1), Arc::new(2), Arc::new(3));
        cache.put(&key(1), &one);
        cache.put(&key(2), &two);
        drop(two);
        cache.put(&key(3), &three);
        assert!(cache.get(&key(1)).is_some() && cache.get(&key(3)).is_some());
        assert_eq!(Cache::stats(&cache).unwrap().evictions, 0);
        cache.put(&key(4), &three);
        assert!(cache.get(&key(1)).is_none(), "the least recently used");
        assert!(cache.remove(&key(4)));
        assert_eq!(cache.len(), 1);
    }
}
