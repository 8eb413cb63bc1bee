//! The open connections: no more than there may be. For one more, that one goes which never asked
//! anything and is the oldest of these, or else has been without a request for the longest time: so
//! clients who only hold connections keep nobody out. A request is under way until its answer is written.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Notify;

use crate::primitives::Mutex;

/// The open connections of a server.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    start: Instant,
}

/// An open connection.
#[derive(Debug)]
struct Connection {
    /// When it was opened, or its last request ended, in nanoseconds since the start.
    idle_since: AtomicU64,
    /// The requests under way.
    requests: AtomicUsize,
    /// The requests so far.
    served: AtomicU64,
    close: Notify,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Connections {
            most,
            open: Mutex::default(),
            next: AtomicU64::new(0),
            start: Instant::now(),
        }
    }

    /// Room for one more connection; `None` if each one there is has a request under way.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Ticket> {
        let connection = Arc::new(Connection {
            idle_since: AtomicU64::new(self.now()),
            requests: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            close: Notify::new(),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock();
        if open.len() >= self.most && !shed(&mut open) {
            return None;
        }
        open.insert(id, Arc::clone(&connection));
        drop(open);
        Some(Ticket {
            id,
            connection,
            of: Arc::clone(self),
        })
    }

    /// Closes the connection that never had a request, or else has been without one for the longest
    /// time; whether there was one.
    pub(super) fn shed(&self) -> bool {
        shed(&mut self.open.lock())
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.lock().len()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn shed(open: &mut HashMap<u64, Arc<Connection>>) -> bool {
    let idle = open
        .iter()
        .filter(|(_, connection)| connection.requests.load(Ordering::Acquire) == 0)
        .min_by_key(|(id, connection)| {
            let has_asked = connection.served.load(Ordering::Relaxed) > 0;
            let idle_since = connection.idle_since.load(Ordering::Relaxed);
            (has_asked, idle_since, **id)
        })
        .map(|(id, _)| *id);
    let Some(connection) = idle.and_then(|id| open.remove(&id)) else {
        return false;
    };
    connection.close.notify_one();
    true
}

/// A connection's place among the open ones, until it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    id: u64,
    connection: Arc<Connection>,
    of: Arc<Connections>,
}

impl Ticket {
    /// Returns when the connection has to go.
    pub(super) async fn closed(&self) {
        self.connection.close.notified().await;
    }

    /// A request begins; it ends when what this returns is dropped.
    pub(super) fn request(&self) -> Busy {
        self.connection.requests.fetch_add(1, Ordering::AcqRel);
        self.connection.served.fetch_add(1, Ordering::Relaxed);
        Busy {
            connection: Arc::clone(&self.connection),
            of: Arc::clone(&self.of),
        }
    }

    /// Whether it never had a request.
    pub(super) fn is_fresh(&self) -> bool {
        self.connection.served.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.of.open.lock().remove(&self.id);
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy {
    connection: Arc<Connection>,
    of: Arc<Connections>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection
            .idle_since
            .store(self.of.now(), Ordering::Relaxed);
        connection.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_never_asked_goes_first_then_who_was_idle_longest_and_never_one_at_work() {
        let connections = Arc::new(Connections::new(3));
        let first = connections.admit().unwrap();
        let second = connections.admit().unwrap();
        let third = connections.admit().unwrap();
        let work = first.request();
        let fourth = connections.admit().unwrap();
        second.closed().await;
        assert_eq!(connections.len(), 3);
        drop(work);
        // The first one was idle for longer than the third, but did ask.
        let fifth = connections.admit().unwrap();
        third.closed().await;
        let _work = fourth.request();
        drop(fifth.request());
        let _sixth = connections.admit().unwrap();
        first.closed().await;
        drop((first, second, third));
        assert_eq!(connections.len(), 3, "who was shed is not counted twice");
    }

    #[test]
    fn nobody_is_admitted_while_all_are_at_work() {
        let connections = Arc::new(Connections::new(1));
        let one = connections.admit().unwrap();
        let work = one.request();
        assert!(connections.admit().is_none());
        drop(work);
        assert!(connections.admit().is_some());
    }
}
