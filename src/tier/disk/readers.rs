//! The connections that only read: a few, so that who reads waits neither for others that do nor for a
//! write. They are made with the one that writes, and let go of with it.
//!
//! None is made later: if another file had come to be under the name meanwhile, SQLite would take the
//! index of our log for that one's, and cut it short under the connections that have it in memory.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

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
    /// To the file that is open.
    idle: Vec<Connection>,
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
    /// Always there, until it is dropped.
    conn: Option<Connection>,
}

impl Readers {
    /// Which file is open; 0 if none is.
    pub(super) fn current(&self) -> u64 {
        self.current.load(Ordering::Acquire)
    }

    /// Another file is open now, with these connections.
    pub(super) fn start(&self, connections: Vec<Connection>) {
        let mut pool = self.pool.lock();
        pool.opened += 1;
        pool.idle = connections;
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
        self.back.wait_while_for(&mut pool, is_wanting, patience);
        match pool.idle.pop() {
            Some(conn) => Taken::Reader(Reader {
                readers: self,
                file: pool.opened,
                conn: Some(conn),
            }),
            None if self.current() == 0 => Taken::Closed,
            None => Taken::TooLate,
        }
    }
}

impl Reader<'_> {
    /// Whether its file is still the one that is open.
    pub(super) fn is_current(&self) -> bool {
        self.readers.current() == self.file
    }
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn.as_ref().expect("held until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let outdated = {
            let mut pool = self.readers.pool.lock();
            match self.conn.take() {
                Some(conn) if self.is_current() => {
                    pool.idle.push(conn);
                    None
                }
                conn => conn,
            }
        };
        self.readers.back.notify_one();
        // Closing it is I/O.
        drop(outdated);
    }
}
