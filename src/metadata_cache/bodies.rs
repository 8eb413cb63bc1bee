//! The records in memory: a bounded map of them, the loads in progress, and the writes on their way.
//! It follows every synchronisation pass, so that no body is ever older than the published index.

use std::sync::Arc;

use hashbrown::HashMap;

use super::record::{Body, Record};
use crate::bounded::{BoundedMap, Inserted, RemovalCause};
use crate::index::Segment;
use crate::metadata::FilePath;
use crate::position::Position;
use crate::primitives::Mutex;
use crate::single_flight::Flights;
use crate::sync::Follower;

/// What a load brings: a record, or that there is none.
pub(super) type Loads = Flights<FilePath, Option<Record>>;

#[derive(Debug)]
pub(super) struct Bodies {
    pub(super) map: BoundedMap<FilePath, Arc<Body>>,
    pub(super) loads: Loads,
    /// Records of this process that are committed, while the pass that brings them in is awaited.
    writes: Mutex<HashMap<FilePath, Arc<Body>>>,
}

impl Bodies {
    pub(super) fn new(map: BoundedMap<FilePath, Arc<Body>>) -> Self {
        Bodies {
            map,
            loads: Flights::default(),
            writes: Mutex::default(),
        }
    }

    /// Keeps a body; what had to leave is handed back.
    pub(super) fn insert(&self, body: Arc<Body>) -> Inserted<FilePath, Arc<Body>> {
        let (path, weight) = (body.record.path.clone(), body.weight());
        self.map.insert(path, body, weight)
    }

    /// Keeps a body if nobody has to leave for it and its path has none; whether it did.
    pub(super) fn offer(&self, body: Arc<Body>) -> bool {
        let (path, weight) = (body.record.path.clone(), body.weight());
        self.map.offer(path, body, weight)
    }

    /// Tells of a committed record: the pass that brings it in finds it here, and has no need to
    /// drop the body of its path. Until the guard is dropped.
    pub(super) fn announce(&self, body: Arc<Body>) -> Announced<'_> {
        let path = body.record.path.clone();
        self.writes.lock().insert(path, Arc::clone(&body));
        Announced { bodies: self, body }
    }

    /// Drops every body, and sees to it that no load in progress puts one back.
    pub(super) fn clear(&self) {
        self.loads.void_all();
        drop(self.map.clear());
    }

    /// A file is new or different at this version.
    fn changed(&self, path: &str, version: Position) {
        self.loads.void(path);
        let written = self.writes.lock().get(path).cloned();
        match written.filter(|body| body.version == version) {
            Some(body) => drop(self.insert(body)),
            None => drop(self.map.remove(path, RemovalCause::Invalidated)),
        }
    }
}

/// No body of the map is older than the index as long as it is told of each pass before that is
/// published: a load that began before is voided first, so nothing puts back what is dropped here.
impl Follower for Bodies {
    fn changes(&self, files: &Segment, deleted: &[String], position: Position) {
        for rank in 0..files.len() {
            let sequence = files.version(rank);
            self.changed(
                files.path(rank),
                Position {
                    sequence,
                    ..position
                },
            );
        }
        for path in deleted {
            self.loads.void(path.as_str());
            drop(self.map.remove(path.as_str(), RemovalCause::Invalidated));
        }
    }

    fn replaces(&self, files: &Segment, position: Position) {
        self.loads.void_all();
        for path in self.map.keys() {
            let version = files.find_path(path.as_str()).map(|rank| Position {
                sequence: files.version(rank),
                ..position
            });
            let is_outdated = |body: &Arc<Body>| Some(body.version) != version;
            drop(
                self.map
                    .remove_if(&path, RemovalCause::Invalidated, is_outdated),
            );
        }
    }
}

/// A committed record on its way into the index.
pub(super) struct Announced<'b> {
    bodies: &'b Bodies,
    body: Arc<Body>,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        let mut writes = self.bodies.writes.lock();
        let path = &self.body.record.path;
        // Another write of the path may have come since.
        if writes
            .get(path)
            .is_some_and(|body| Arc::ptr_eq(body, &self.body))
        {
            writes.remove(path);
        }
    }
}
