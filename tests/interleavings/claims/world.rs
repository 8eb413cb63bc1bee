//! A cache over a history, and what every thread does with it: whatever a verb brings is checked by
//! the eyes of the thread that called it.

use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use super::history::{Eyes, History, includes, path, record};
use crate::clock::Clock;
use crate::metadata_cache::{CacheOptions, CacheStats, MetadataCache};
use crate::query::Query;
use crate::store::MetadataStore;
use crate::sync::SyncMode;

/// A loaded cache over a history, for several threads.
#[derive(Clone)]
pub(super) struct World {
    pub(super) history: Arc<History>,
    pub(super) cache: Arc<MetadataCache>,
}

impl World {
    /// With these files, of which none or all are in memory.
    pub(super) fn of(paths: &[&str]) -> World {
        Self::with_bodies(paths, thread_rng().gen_bool(0.5))
    }

    pub(super) fn with_bodies(paths: &[&str], load_bodies: bool) -> World {
        let history = History::of(paths);
        let world = World::not_loaded(history, load_bodies);
        world.cache.load().unwrap();
        world
    }

    pub(super) fn not_loaded(history: Arc<History>, load_bodies: bool) -> World {
        let options = CacheOptions::default().load_bodies(load_bodies);
        let (store, clock) = (Arc::clone(&history) as _, Arc::clone(&history.clock) as _);
        let cache = Arc::new(MetadataCache::new(store, clock, options).unwrap());
        World { history, cache }
    }

    pub(super) fn spawn(
        &self,
        body: impl FnOnce(&World, &mut Eyes) + Send + 'static,
    ) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || body(&world, &mut Eyes::new(&world.history)))
    }

    pub(super) fn get(&self, eyes: &mut Eyes, name: &str) {
        let path = path(name);
        let record = self.cache.get(&path).unwrap();
        eyes.saw(&path, record.as_ref());
    }

    pub(super) fn query(&self, eyes: &mut Eyes) {
        let all = Query::builder().build().unwrap();
        eyes.saw_all(&self.cache.query(&all).unwrap());
    }

    /// Counts and state, which agree with each other and with history.
    pub(super) fn stats(&self) -> CacheStats {
        let now = self.history.clock.elapsed();
        let stats = self.cache.stats().unwrap();
        assert!(stats.items <= stats.max_items && stats.bytes <= stats.max_bytes);
        assert!(stats.db_lookup_hits <= stats.db_lookups);
        if let Some(age) = stats.age {
            // The age was told a little later than `now`.
            self.history
                .assert_seen(stats.watermark, now.saturating_sub(age));
        }
        stats
    }

    pub(super) fn update(&self, eyes: &mut Eyes, name: &str, mark: &str) {
        let position = self.cache.update(&record(name, mark)).unwrap();
        eyes.knows(position);
    }

    pub(super) fn sync(&self, eyes: &mut Eyes) {
        let head = self.history.head().unwrap();
        let report = self.cache.sync(SyncMode::Incremental).unwrap();
        assert!(
            includes(report.to, head),
            "a pass that began after the call"
        );
        eyes.knows(head);
    }

    /// All threads are done: what is in memory, what is not, and the counts are as they should be.
    pub(super) fn at_rest(&self, names: &[&str]) {
        let eyes = &mut Eyes::new(&self.history);
        let before = self.stats();
        names.iter().for_each(|name| self.get(eyes, name));
        self.sync(eyes);
        names.iter().for_each(|name| self.get(eyes, name));
        self.query(eyes);
        names.iter().for_each(|name| self.get(eyes, name));
        let stats = self.stats();
        let gets = 3 * names.len() as u64;
        assert_eq!(
            stats.hits + stats.misses,
            before.hits + before.misses + gets
        );
        assert_eq!(stats.watermark, self.history.head().unwrap());
    }
}
