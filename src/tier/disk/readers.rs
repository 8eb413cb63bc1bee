//! The connections that only read: a few, so that who reads waits neither for others that do nor for a
//! write. They are made when they are wanted, and let go of when another file takes the place of theirs.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::primitives::{Condvar, Mutex};

/// The most connections: more than the processors that one file keeps busy.
const MOST: usize = 4;

/// The connections to the file that is open.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// Which file is open: counted from 1; 0 if none is.
    current: AtomicU64,
    opened: AtomicU64,
    pool: Mutex<Pool>,
    back: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    /// Of the current file.
    idle: Vec<Connection>,
    /// How many are in use, or about to be made.
    out: usize,
}

/// The right to use a connection: one that is there already, or to be made.
#[derive(Debug)]
pub(super) struct Reader<'r> {
    readers: &'r Readers,
    /// Which file it leads to.
    pub(super) file: u64,
    pub(super) conn: Option<Connection>,
}

impl Readers {
    /// Which file is open; `None` if none is.
    pub(super) fn current(&self) -> Option<u64> {
        Some(self.current.load(Ordering::Acquire)).filter(|file| *file != 0)
    }

    /// Another file is open now.
    pub(super) fn start(&self) {
        let file = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        self.current.store(file, Ordering::Release);
    }

    /// No file is open any more. Those who still read go on with what they have.
    pub(super) fn retire(&self) {
        let idle = {
            let mut pool = self.pool.lock();
            self.current.store(0, Ordering::Release);
            std::mem::take(&mut pool.idle)
        };
        drop(idle);
    }

    /// A connection to this file, or the right to make one; `None` if nobody gave his back for so long.
    pub(super) fn take(&self, file: u64, patience: Duration) -> Option<Reader<'_>> {
        let mut pool = self.pool.lock();
        let is_full = |pool: &mut Pool| pool.idle.is_empty() && pool.out >= MOST;
        self.back.wait_while_for(&mut pool, is_full, patience);
        if is_full(&mut pool) {
            return None;
        }
        pool.out += 1;
        // Those that are idle lead to the current file, which may be another one by now.
        let conn = match self.current() == Some(file) {
            true => pool.idle.pop(),
            false => None,
        };
        Some(Reader {
            readers: self,
            file,
            conn,
        })
    }
}

impl Reader<'_> {
    /// Whether its file is still the one that is open.
    pub(super) fn is_current(&self) -> bool {
        self.readers.current() == Some(self.file)
    }
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn.as_ref().expect("it was made before it is used")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let conn = self.conn.take();
        let outdated = {
            let mut pool = self.readers.pool.lock();
            pool.out -= 1;
            match conn {
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
