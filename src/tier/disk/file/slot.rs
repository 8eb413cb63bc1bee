//! The file as whoever has its turn knows it: closed, open, or on its way out; how it comes to be open,
//! and how one that cannot be used is given up.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;

use super::{DiskFile, TRIES};
use crate::error::Result;
use crate::tier::disk::doom::Doomed;
use crate::tier::disk::files::{self, Files};
use crate::tier::disk::readers::{Disturbance, READERS};
use crate::tier::disk::rows;
use crate::tier::disk::schema::{self, Database, Fault, FileLimits};
use crate::tier::disk::turn::Turn;

/// The file, as whoever has the turn knows it.
#[derive(Debug)]
pub(super) enum Slot {
    Closed,
    Open(Database),
    /// It could not be removed, and must be before it is opened again. Known are the files that it had,
    /// if it was open.
    Going(Option<Files>),
}

/// The turn of who may change the file; meanwhile no reader keeps a view of it.
pub(super) struct Tenure<'f> {
    /// Ends before the turn does.
    pub(super) _disturbance: Disturbance<'f>,
    pub(super) turn: Turn<'f, Slot>,
}

impl Deref for Tenure<'_> {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.turn
    }
}

impl DerefMut for Tenure<'_> {
    fn deref_mut(&mut self) -> &mut Slot {
        &mut self.turn
    }
}

/// What becomes of a file that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept under another name.
    Aside,
    Removed,
}

impl DiskFile {
    /// The open file. One that cannot be used is given up, and another one made.
    pub(super) fn opened<'s>(&self, slot: &'s mut Slot) -> Result<&'s mut Database, Fault> {
        if let Slot::Open(database) = slot
            && !database.files.are_in_place()
        {
            self.give_up(slot, Fault::TakenAway)
                .map_err(Fault::Failed)?;
        }
        if let Slot::Going(_) = slot {
            let why = "it could not be removed before";
            self.abandon(slot, Fate::Removed, why)
                .map_err(Fault::Failed)?;
        }
        for _ in 0..TRIES {
            if let Slot::Open(_) = slot {
                break;
            }
            let limits = FileLimits {
                max_bytes: self.options.max_bytes,
                timeout: self.options.timeout,
            };
            match Database::open(&self.path, &limits, self.boot, &self.guard) {
                Ok(database) => *slot = Slot::Open(database),
                Err(Fault::Failed(error)) => return Err(Fault::Failed(error)),
                Err(fault) => self.give_up(slot, fault).map_err(Fault::Failed)?,
            }
            if let Slot::Open(database) = slot
                && let Err(fault) = self.start(database)
            {
                if let Fault::Failed(_) = fault
                    && let Slot::Open(database) = std::mem::replace(slot, Slot::Closed)
                {
                    drop(database.let_go());
                }
                self.give_up(slot, fault).map_err(Fault::Failed)?;
            }
        }
        match slot {
            Slot::Open(database) => Ok(database),
            _ => Err(Fault::Failed(self.restless("open"))),
        }
    }

    /// Takes note of what a file holds that was just opened, and lets others read it.
    pub(super) fn start(&self, database: &Database) -> Result<(), Fault> {
        let fail = |cause| schema::fault(&self.path, "count the entries", cause);
        for space in self.spaces() {
            let count = rows::count(&database.conn, &space.name).map_err(fail)?;
            space.set_entries(count);
        }
        let used = database.used_pages().map_err(fail)?;
        self.bytes
            .store(used * database.page_size, Ordering::Relaxed);
        let reader = |_| schema::open_reader(&database.files, self.options.timeout);
        let readers = (0..READERS).map(reader).collect::<Result<_, _>>()?;
        self.readers.start(readers);
        Ok(())
    }

    /// Closes the file if it is open, and says so in it, unless there is something in it that must not be
    /// found. For who has seen to it that nobody reads it.
    pub(super) fn shut(&self, slot: &mut Slot) {
        let database = match std::mem::replace(slot, Slot::Closed) {
            Slot::Open(database) => database,
            other => {
                *slot = other;
                return;
            }
        };
        if self.doom.is_pending() {
            drop(database.let_go());
        } else if let Err(error) = database.close(&self.guard) {
            tracing::warn!(file = %self.path.display(), %error, "a cache file was not closed properly");
        }
    }

    /// Gives up a file that cannot be used.
    pub(super) fn give_up(&self, slot: &mut Slot, fault: Fault) -> Result<()> {
        match fault {
            Fault::Failed(error) => Err(error),
            Fault::Damaged(reason) => {
                self.abandon(slot, Fate::Aside, &reason)?;
                let name = self.path.display();
                self.condition
                    .rebuilt(format!("{name} was damaged, and was moved aside: {reason}"));
                Ok(())
            }
            Fault::TakenAway => {
                self.abandon(slot, Fate::Removed, "it was taken away while it was open")?;
                let name = self.path.display();
                self.condition
                    .rebuilt(format!("{name}, or its log, was taken away"));
                Ok(())
            }
            Fault::OtherVersion(reason) => self.abandon(slot, Fate::Aside, &reason),
            Fault::Outdated(reason) => self.abandon(slot, Fate::Removed, &reason),
        }
    }

    /// The same for who found out while he read, unless somebody else did it meanwhile.
    pub(super) fn abandon_if_still(&self, file: u64, fault: Fault) -> Result<()> {
        let mut turn = self.turn()?;
        if self.readers.current() != file {
            return Ok(());
        }
        let given_up = self.give_up(&mut turn, fault);
        given_up.inspect_err(|error| self.condition.fails(error))
    }

    /// Closes the file and takes it away, so that an empty one can take its place. While that cannot be
    /// done it is opened by nobody.
    pub(super) fn abandon(&self, slot: &mut Slot, fate: Fate, reason: &str) -> Result<()> {
        self.readers.retire();
        let files = match std::mem::replace(slot, Slot::Closed) {
            Slot::Closed => None,
            Slot::Open(database) => Some(database.let_go()),
            Slot::Going(files) => files,
        };
        // It lacks a change from now on: wherever it is, it is not believed again.
        self.guard.note_changes(self.guard.changes() + 1);
        let is_ours = files.as_ref().is_none_or(Files::are_in_place);
        let (done, kept) = match (&files, fate) {
            (_, Fate::Aside) if is_ours => match files::move_aside(&self.path) {
                Ok(to) => (Ok(()), Some(to)),
                Err(error) => (Err(error), None),
            },
            (Some(files), _) => (files.remove(), None),
            (None, _) => (files::remove(&self.path), None),
        };
        if let Err(error) = done {
            *slot = Slot::Going(files);
            return Err(error);
        }
        let everything = Doomed {
            all: true,
            ..Default::default()
        };
        self.is_made_up(&everything);
        self.spaces().iter().for_each(|space| space.set_entries(0));
        self.bytes.store(0, Ordering::Relaxed);
        self.rebuilds.bump();
        tracing::warn!(
            file = %self.path.display(), moved_to = ?kept, reason,
            "a cache file cannot be used: an empty one takes its place"
        );
        Ok(())
    }
}
