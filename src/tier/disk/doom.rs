//! Entries that could not be changed on disk when they should have been: their turn did not come, or
//! the file could not be opened. They are not found any more, and whoever has the file next takes them
//! out before he does anything else.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::primitives::Mutex;
use crate::tier::Key;

/// The most entries that are remembered one by one; with more of them, the whole file has to go.
const MOST: usize = 1024;

/// What a verb was to change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Touched<'t> {
    /// Nothing that anybody would miss.
    Nothing,
    /// The entry of this space and key.
    Entry(&'t Arc<str>, &'t Key),
    /// Many entries.
    Many,
}

/// What has to go.
#[derive(Debug, Default)]
pub(super) struct Doom {
    /// Whether there is anything: asked by each look-up.
    any: AtomicBool,
    doomed: Mutex<Doomed>,
}

/// The entries, or all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Doomed {
    pub(super) all: bool,
    pub(super) entries: HashSet<(Arc<str>, Key)>,
}

impl Doom {
    /// Whether there is anything.
    pub(super) fn is_pending(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether this entry has to go. Asked before it is looked for: what went by then is not found.
    pub(super) fn takes(&self, space: &Arc<str>, key: &Key) -> bool {
        if !self.is_pending() {
            return false;
        }
        let doomed = self.doomed.lock();
        doomed.all || doomed.entries.contains(&(Arc::clone(space), key.clone()))
    }

    /// Adds what was to be changed.
    pub(super) fn add(&self, touched: Touched<'_>) {
        let mut doomed = self.doomed.lock();
        match touched {
            Touched::Nothing => return,
            Touched::Many => doomed.all = true,
            Touched::Entry(space, key) => {
                doomed.entries.insert((Arc::clone(space), key.clone()));
                doomed.all |= doomed.entries.len() > MOST;
            }
        }
        self.any.store(true, Ordering::Release);
    }

    /// What has to go.
    pub(super) fn pending(&self) -> Doomed {
        self.doomed.lock().clone()
    }

    /// Takes note that this went; whether nothing is left.
    pub(super) fn is_over_without(&self, gone: &Doomed) -> bool {
        let mut doomed = self.doomed.lock();
        if gone.all {
            *doomed = Doomed::default();
        } else {
            doomed.entries.retain(|entry| !gone.entries.contains(entry));
        }
        let is_over = !doomed.all && doomed.entries.is_empty();
        self.any.store(!is_over, Ordering::Release);
        is_over
    }
}
