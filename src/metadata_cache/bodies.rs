//! The records in memory: a bounded map of them, the loads in progress, and the writes on their way.
//! It follows every synchronisation pass, so that no body is ever older than the published index.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;

use super::record::{Body, Record};
use crate::bounded::{BoundedMap, Inserted, RemovalCause};
use crate::index::{ScopeMatcher, Segment, Snapshot};
use crate::metadata::FilePath;
use crate::position::Position;
use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::single_flight::Flights;
use crate::sync::Follower;

/// What a load brings: a record, or that there is none.
pub(super) type Loads = Flights<FilePath, Option<Record>>;

pub(super) struct Bodies {
    pub(super) map: BoundedMap<FilePath, Arc<Body>>,
    pub(super) loads: Loads,
    /// Records that are ahead of the index, while the pass that brings them in is awaited: written by
    /// this process, or read by a load.
    ahead: Mutex<HashMap<FilePath, Arc<Ahead>>>,
}

/// Not the records: they may be many, and their contents are nobody's business in a log.
impl fmt::Debug for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bodies")
            .field("map", &self.map)
            .finish_non_exhaustive()
    }
}

impl Bodies {
    pub(super) fn new(map: BoundedMap<FilePath, Arc<Body>>) -> Self {
        Bodies {
            map,
            loads: Flights::default(),
            ahead: Mutex::default(),
        }
    }

    /// Keeps a body; what had to leave is handed back.
    pub(super) fn insert(&self, body: Arc<Body>) -> Inserted<FilePath, Arc<Body>> {
        let (path, weight) = (body.record.path.clone(), body.weight);
        self.map.insert(path, body, weight)
    }

    /// Keeps a body if nobody has to leave for it and its path has none; whether it did.
    pub(super) fn offer(&self, body: Arc<Body>) -> bool {
        let (path, weight) = (body.record.path.clone(), body.weight);
        self.map.offer(path, body, weight)
    }

    /// Tells of a record that the index does not know yet: the pass that brings it in finds it here,
    /// and keeps it instead of dropping the body of its path. Until the guard is dropped.
    pub(super) fn announce(&self, body: Arc<Body>) -> Announced<'_> {
        let path = body.record.path.clone();
        let is_kept = AtomicBool::new(false);
        let ahead = Arc::new(Ahead { body, is_kept });
        self.ahead.lock().insert(path, Arc::clone(&ahead));
        Announced {
            bodies: self,
            ahead,
        }
    }

    /// Drops every body, and sees to it that no load in progress puts one back.
    pub(super) fn clear(&self) {
        // In this order: a load announces what it read only while its lease is valid.
        self.loads.void_all();
        self.ahead.lock().clear();
        drop(self.map.clear());
    }

    /// Drops the bodies of the scope, and sees to it that no load in progress puts one back; how many
    /// left.
    pub(super) fn invalidate(&self, scope: &ScopeMatcher) -> usize {
        if let Some(path) = scope.only() {
            return usize::from(self.forget(path));
        }
        let covered = |paths: Vec<FilePath>| {
            let paths = paths.into_iter();
            paths.filter(|path| scope.covers(path.as_str()))
        };
        // In this order, as in `clear`; and no lock is held while paths are compared.
        covered(self.loads.keys()).for_each(|path| self.loads.void(&path));
        let announced = self.ahead.lock().keys().cloned().collect();
        covered(announced).for_each(|path| {
            let announced = self.ahead.lock().remove(&path);
            drop(announced);
        });
        let held = covered(self.map.keys());
        held.filter(|path| self.forget(path)).count()
    }

    /// Drops the body of a path, in memory or on its way there; whether one was in memory.
    fn forget(&self, path: &FilePath) -> bool {
        self.loads.void(path);
        let announced = self.ahead.lock().remove(path);
        drop(announced);
        self.map.remove(path, RemovalCause::Invalidated).is_some()
    }

    /// A file is new or different at this version.
    fn changed(&self, path: &str, version: Position) {
        self.loads.void(path);
        // Held until the body is kept: a clear comes before or after it.
        let announcements = self.ahead.lock();
        let announced = announcements.get(path).cloned();
        match announced.filter(|ahead| ahead.body.version == version) {
            Some(ahead) => {
                let inserted = self.insert(Arc::clone(&ahead.body));
                drop(announcements);
                ahead.is_kept.store(inserted.kept, Ordering::Release);
            }
            None => {
                drop(announcements);
                drop(self.map.remove(path, RemovalCause::Invalidated));
            }
        }
    }
}

/// No body of the map is older than the index as long as it is told of each pass before that is
/// published: a load that began before is voided first, so nothing puts back what is dropped here.
impl Follower for Bodies {
    fn changes(&self, files: &Segment, deleted: &[String], position: Position) {
        for rank in 0..files.len() {
            self.changed(files.path(rank), position.at(files.version(rank)));
        }
        for path in deleted {
            self.loads.void(path.as_str());
            drop(self.map.remove(path.as_str(), RemovalCause::Invalidated));
        }
    }

    fn replaces(&self, files: &Snapshot, is_continued: bool) {
        if !is_continued {
            return self.clear();
        }
        self.loads.void_all();
        for path in self.map.keys() {
            let hit = files.file(path.as_str());
            let version = hit.map(|hit| files.position().at(hit.version));
            let is_outdated = |body: &Arc<Body>| Some(body.version) != version;
            drop(
                self.map
                    .remove_if(&path, RemovalCause::Invalidated, is_outdated),
            );
        }
    }
}

/// A record that the index is about to know.
struct Ahead {
    body: Arc<Body>,
    is_kept: AtomicBool,
}

/// The announcement of such a record, until it is dropped.
pub(super) struct Announced<'b> {
    bodies: &'b Bodies,
    ahead: Arc<Ahead>,
}

impl Announced<'_> {
    /// Whether a pass brought it in, and kept it.
    pub(super) fn is_kept(&self) -> bool {
        self.ahead.is_kept.load(Ordering::Acquire)
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        let mut ahead = self.bodies.ahead.lock();
        let path = &self.ahead.body.record.path;
        // Another write of the path may have come since.
        if ahead
            .get(path)
            .is_some_and(|other| Arc::ptr_eq(other, &self.ahead))
        {
            ahead.remove(path);
        }
    }
}
