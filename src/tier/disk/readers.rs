//! The connections that only read: a few, so that who reads waits neither for others that do nor for a
//! write. They are made with the one that writes, and let go of with it.
//!
//! None is made later: if another file had come to be under the name meanwhile, SQLite would take the
//! index of our log for that one's, and cut it short under the connections that have it in memory. When
//! the last of them is lost to errors, the file counts as not open, and is opened anew with others.
//!
//! While nobody has the file's turn, one that is idle may keep its view of the file, and then that is the
//! file as it is: only who has the turn changes anything. Whoever takes the turn ends the views of those
//! that are idle before he does anything; those that are handed out end theirs when they come back.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use smallvec::SmallVec;

use super::row::Instant;
use super::view::Viewer;
use crate::primitives::{Condvar, Mutex};

/// How many they are: a look-up is short, and each of them costs the opening of a file.
pub(super) const READERS: usize = 3;

/// The connections to the file that is open.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// Which file is open: counted from 1; 0 if none is.
    current: AtomicU64,
    pool: Mutex<Pool>,
    back: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    /// How many files were opened so far.
    opened: u64,
    /// How often a turn began or ended: odd while somebody has it.
    turns: u64,
    /// To the file that is open. A view that one of them keeps sees the file as it is.
    #[expect(clippy::vec_box, reason = "large, and moved at each look-up")]
    idle: Vec<Box<Viewer>>,
    /// How many connections to it there are, idle or handed out.
    alive: usize,
}

impl Pool {
    fn is_calm(&self) -> bool {
        self.turns.is_multiple_of(2)
    }
}

/// What came of asking for a connection.
#[derive(Debug)]
pub(super) enum Taken<'r> {
    Reader(Reader<'r>),
    /// No file is open.
    Closed,
    /// Nobody gave his back in time.
    TooLate,
}

/// A connection, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Reader<'r> {
    readers: &'r Readers,
    /// Which file it leads to.
    pub(super) file: u64,
    /// Whether it had better keep a view: it reads for the second time, and nothing changed meanwhile.
    keeps_view: bool,
    /// Always there, until it is dropped.
    viewer: Option<Box<Viewer>>,
}

/// While this lives nobody keeps a view.
#[derive(Debug)]
pub(super) struct Disturbance<'r>(&'r Readers);

impl Readers {
    /// Which file is open; 0 if none is.
    pub(super) fn current(&self) -> u64 {
        self.current.load(Ordering::Acquire)
    }

    /// Another file is open now, with these connections.
    pub(super) fn start(&self, connections: Vec<Connection>) {
        let viewers = connections.into_iter().map(Viewer::new).map(Box::new);
        let viewers: Vec<_> = viewers.collect();
        let mut pool = self.pool.lock();
        pool.opened += 1;
        pool.alive = viewers.len();
        pool.idle = viewers;
        self.current.store(pool.opened, Ordering::Release);
        drop(pool);
        self.back.notify_all();
    }

    /// No file is open any more. Those who still read go on with what they have.
    pub(super) fn retire(&self) {
        let idle = {
            let mut pool = self.pool.lock();
            self.current.store(0, Ordering::Release);
            std::mem::take(&mut pool.idle)
        };
        self.back.notify_all();
        // Closing them is I/O.
        drop(idle);
    }

    /// A connection to the file that is open.
    pub(super) fn take(&self, patience: Duration) -> Taken<'_> {
        let mut pool = self.pool.lock();
        let is_wanting = |pool: &mut Pool| pool.idle.is_empty() && self.current() != 0;
        if is_wanting(&mut pool) {
            self.back.wait_while_for(&mut pool, is_wanting, patience);
        }
        match pool.idle.pop() {
            Some(mut viewer) => {
                let before = std::mem::replace(&mut viewer.turns, pool.turns);
                Taken::Reader(Reader {
                    readers: self,
                    file: pool.opened,
                    keeps_view: pool.is_calm() && before == pool.turns,
                    viewer: Some(viewer),
                })
            }
            None if self.current() == 0 => Taken::Closed,
            None => Taken::TooLate,
        }
    }

    /// Somebody has the file's turn from now on, until he drops this. Nobody else has one of these.
    pub(super) fn disturb(&self) -> Disturbance<'_> {
        let mut pool = self.pool.lock();
        pool.turns += 1;
        let file = pool.opened;
        let with_view = pool.idle.extract_if(.., |viewer| viewer.has_view());
        let seen: SmallVec<[Reader<'_>; READERS]> = with_view
            .map(|viewer| Reader {
                readers: self,
                file,
                keeps_view: false,
                viewer: Some(viewer),
            })
            .collect();
        drop(pool);
        // They come back without their views.
        drop(seen);
        Disturbance(self)
    }
}

impl Reader<'_> {
    /// Whether its file is still the one that is open.
    pub(super) fn is_current(&self) -> bool {
        self.readers.current() == self.file
    }

    /// Makes it ready to be asked something.
    pub(super) fn prepare(&mut self, now: Instant) -> rusqlite::Result<()> {
        match (&mut self.viewer, self.keeps_view) {
            (Some(viewer), true) => viewer.keep_view(now),
            _ => Ok(()),
        }
    }

    /// It keeps no view, as after an error.
    pub(super) fn forget(&mut self) {
        if let Some(viewer) = &mut self.viewer
            && let Err(error) = viewer.end_view()
        {
            tracing::warn!(%error, "a view of a cache file is given up with its connection");
            self.viewer = None;
        }
    }

    /// Its connection is of no use any more.
    #[cfg(test)]
    pub(super) fn lose(mut self) {
        self.viewer = None;
    }

    /// Gives it back, unless it has a view that it should not keep, or that something may have changed
    /// since; whether that is done.
    fn is_given_back(&mut self) -> bool {
        let outdated = {
            let mut pool = self.readers.pool.lock();
            match self.viewer.take() {
                Some(viewer) if self.is_current() => {
                    let may_keep = self.keeps_view && viewer.turns == pool.turns;
                    if viewer.has_view() && !may_keep {
                        self.viewer = Some(viewer);
                        return false;
                    }
                    pool.idle.push(viewer);
                    None
                }
                // It was lost, perhaps as the last one.
                None if self.is_current() => {
                    pool.alive -= 1;
                    if pool.alive == 0 {
                        self.readers.current.store(0, Ordering::Release);
                        self.readers.back.notify_all();
                    }
                    None
                }
                viewer => viewer,
            }
        };
        self.readers.back.notify_one();
        // Closing it is I/O.
        drop(outdated);
        true
    }
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        let viewer = self.viewer.as_ref().expect("held until it is dropped");
        &viewer.conn
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if !self.is_given_back() {
            self.forget();
            self.is_given_back();
        }
    }
}

impl Drop for Disturbance<'_> {
    fn drop(&mut self) {
        self.0.pool.lock().turns += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        Instant {
            wall_ns: 0,
            boot_ns: 0,
            boot: [0; 16],
        }
    }

    fn taken(readers: &Readers) -> Reader<'_> {
        match readers.take(Duration::ZERO) {
            Taken::Reader(reader) => reader,
            other => panic!("{other:?}"),
        }
    }

    /// One connection, which was handed out once.
    fn one() -> Readers {
        let readers = Readers::default();
        readers.start(vec![Connection::open_in_memory().unwrap()]);
        drop(taken(&readers));
        readers
    }

    #[test]
    fn a_view_is_kept_while_no_turn_comes_between() {
        let readers = one();
        taken(&readers).prepare(now()).unwrap();
        assert!(!taken(&readers).is_autocommit());
        drop(readers.disturb());
        assert!(taken(&readers).is_autocommit());
    }

    #[test]
    fn whatever_has_left_a_view_it_is_not_kept_over_a_turn() {
        let readers = one();
        // Of a statement that failed, as nothing but SQLite knows.
        let leave_one = |reader: Reader<'_>| reader.execute_batch("BEGIN").unwrap();
        let mut reader = taken(&readers);
        reader.execute_batch("BEGIN").unwrap();
        reader.forget();
        assert!(reader.is_autocommit());
        drop(reader);
        leave_one(taken(&readers));
        drop(readers.disturb());
        assert!(taken(&readers).is_autocommit());
        let turn = readers.disturb();
        leave_one(taken(&readers));
        assert!(taken(&readers).is_autocommit(), "in the middle of it");
        let reader = taken(&readers);
        drop(turn);
        leave_one(reader);
        assert!(taken(&readers).is_autocommit(), "after it");
        // One that SQLite has ended itself is begun anew.
        let mut reader = taken(&readers);
        reader.prepare(now()).unwrap();
        reader.execute_batch("ROLLBACK").unwrap();
        reader.prepare(now()).unwrap();
        assert!(!reader.is_autocommit());
    }
}
