//! What a change that failed leaves behind is made up for: nothing older than it is found any more, now
//! or, while nothing can be done, from the next time on that something can.

use std::sync::Arc;

use super::slot::{Fate, Slot};
use super::{DiskFile, begin};
use crate::error::{Error, Result};
use crate::tier::Key;
use crate::tier::disk::doom::{Doomed, Touched};
use crate::tier::disk::rows;
use crate::tier::disk::schema::{Database, Fault};
use crate::tier::disk::tally::Tally;

impl DiskFile {
    /// The open file, with nothing in it that has to go.
    pub(super) fn made_up<'s>(&self, slot: &'s mut Slot) -> Result<&'s mut Database, Fault> {
        let database = self.opened(slot)?;
        if !self.doom.is_pending() {
            return match slot {
                Slot::Open(database) => Ok(database),
                _ => unreachable!("it was just opened"),
            };
        }
        let mut doomed = self.doom.pending();
        let entries = doomed.entries.iter();
        let entries = entries.map(|(space, key)| (space, key));
        if doomed.all || self.take_out(database, entries).is_err() {
            self.abandon(slot, Fate::Removed, "a change to it failed")
                .map_err(Fault::Failed)?;
            doomed.all = true;
        }
        self.is_made_up(&doomed);
        match self.opened(slot) {
            Ok(database) => Ok(database),
            Err(fault) => Err(fault),
        }
    }

    /// Takes note that this went.
    pub(super) fn is_made_up(&self, gone: &Doomed) {
        let is_over = self.doom.is_over_without(gone);
        self.guard.note_doubt(!is_over);
        // Somebody may have come between the two.
        if self.doom.is_pending() {
            self.guard.note_doubt(true);
        }
    }

    /// Remembers that this must not be found any more.
    pub(super) fn condemn(&self, touched: Touched<'_>) {
        self.doom.add(touched);
        if self.doom.is_pending() {
            self.guard.note_doubt(true);
        }
    }

    /// Sees to it that nothing older is found of what could not be changed.
    pub(super) fn make_up_for(&self, slot: &mut Slot, touched: Touched<'_>, cause: &Error) {
        let Slot::Open(database) = slot else {
            return self.condemn(touched);
        };
        let taken_out = match touched {
            Touched::Nothing => return,
            Touched::Many => false,
            Touched::Entry(space, key) => {
                let entry = || std::iter::once((space, key));
                self.take_out(database, entry()).is_ok() || {
                    // What the log has room for then needs no more of the disk.
                    let checkpoint = "PRAGMA wal_checkpoint(PASSIVE)";
                    drop(database.conn.query_row(checkpoint, [], |_| Ok(())));
                    self.take_out(database, entry()).is_ok()
                }
            }
        };
        if !taken_out {
            let reason = format!("a change to it failed: {cause:#}");
            if let Err(error) = self.abandon(slot, Fate::Removed, &reason) {
                self.condition.fails(&error);
                self.condemn(touched);
            }
        }
    }

    /// Takes these entries out, in a transaction of its own.
    pub(super) fn take_out<'e>(
        &self,
        database: &mut Database,
        entries: impl Iterator<Item = (&'e Arc<str>, &'e Key)>,
    ) -> rusqlite::Result<()> {
        let tx = begin(&database.conn)?;
        let mut tally = Tally::default();
        for (space, key) in entries {
            if rows::delete(&tx, space, key)? {
                tally.of(space).removed += 1;
            }
        }
        let changes = database.count()?;
        tx.commit()?;
        database.changes = changes;
        self.guard.note_changes(changes);
        tally.count(&self.spaces());
        Ok(())
    }
}
