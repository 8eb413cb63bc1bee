//! The ledger: a file in which it is written what tiers that outlive the process are owed, before the
//! change that they missed is acknowledged. A process that starts after a crash, or after an end while a
//! tier was down, begins with these debts. Each line is one debt, in JSON; nothing is ever taken out
//! but all of it, when nothing is owed any more: a debt too many costs an entry, and no truth.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::TieredOptions;
use super::debts::{Debts, Wide};
use crate::error::{Error, ErrorKind, Result};
use crate::key_turns::KeyTurns;
use crate::plain_file::open_plain;
use crate::primitives::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::tier::{Key, KeyPattern};

/// A line longer than any debt: keys and patterns have at most 1000 characters.
const MAX_LINE_BYTES: u64 = 16 << 10;
/// So many lines are never too many.
const MIN_LINES: usize = 1000;
/// The turn of the file, which is written by one thread at a time.
const TURN: &str = "the ledger";

/// The file, the debts that it is about, and whose turn it is to write it.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    file: File,
    tiers: Vec<(String, Arc<Debts>)>,
    turns: KeyTurns,
    lines: AtomicUsize,
    /// When it has so many lines, it is made anew: see [`Ledger::note`].
    max_lines: usize,
    /// Whether a debt could not be written down.
    has_failed: AtomicBool,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    tier: Cow<'l, str>,
    owes: Owes<'l>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Owes<'l> {
    Key(#[serde(borrow)] Cow<'l, str>),
    Matching(#[serde(borrow)] Cow<'l, str>),
    All,
}

/// What a tier missed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missed<'m> {
    Key(&'m Key),
    Wide(&'m Wide),
}

impl Ledger {
    /// Opens the file, made (mode 0600) if it is missing, and gives each debt in it to the tier that it
    /// names; if anything cannot be read, all of them are owed everything. A link is not followed: the
    /// file is emptied now and then.
    ///
    /// # Errors
    /// `Io`, which names the file.
    pub(super) fn open(
        path: &Path,
        tiers: Vec<(String, Arc<Debts>)>,
        options: &TieredOptions,
    ) -> Result<Self> {
        let mut opening = OpenOptions::new();
        opening.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut opening, 0o600);
        let opened = open_plain(&mut opening, path);
        let file = opened.map_err(|cause| failed(path, "open", cause))?;
        let ledger = Ledger {
            path: path.to_owned(),
            file,
            tiers,
            turns: KeyTurns::new(options.patience),
            lines: AtomicUsize::new(0),
            max_lines: options.max_owed_keys.saturating_mul(4).max(MIN_LINES),
            has_failed: AtomicBool::new(false),
        };
        ledger.read()?;
        Ok(ledger)
    }

    fn read(&self) -> Result<()> {
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = std::io::Read::take(&mut reader, MAX_LINE_BYTES);
            let read = limited.read_until(b'\n', &mut line);
            if read.map_err(|cause| failed(&self.path, "read", cause))? == 0 {
                return Ok(());
            }
            self.lines.fetch_add(1, Ordering::Relaxed);
            if line.pop() != Some(b'\n') || !self.owe(&line) {
                tracing::warn!(file = %self.path.display(), "a debt cannot be read: all is owed");
                self.tiers.iter().for_each(|(_, debts)| debts.owe_all());
                return Ok(());
            }
        }
    }

    /// Writes down what a tier missed; where that fails, the log and [`Ledger::has_failed`] say so.
    pub(super) fn note(&self, tier: &str, missed: Missed<'_>) {
        let written = self.try_note(tier, missed);
        let has_failed = written.is_err();
        if let Err(error) = written
            && !self.has_failed.load(Ordering::Relaxed)
        {
            tracing::warn!(%error, tier, "a tier's debts would be forgotten after a crash");
        }
        self.has_failed.store(has_failed, Ordering::Relaxed);
    }

    /// Whether the last debt could not be written down.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// The file never has more than a bounded number of lines: before it does, it is made to say that
    /// the tiers that are owed anything are owed everything.
    fn try_note(&self, tier: &str, missed: Missed<'_>) -> Result<()> {
        let _turn = self.turns.take(TURN)?;
        if self.lines.load(Ordering::Relaxed) >= self.max_lines {
            self.empty()?;
            for (tier, _) in self.tiers.iter().filter(|(_, debts)| debts.is_any()) {
                self.write(tier, Owes::All)?;
            }
        }
        let owes = match missed {
            Missed::Key(key) => Owes::Key(key.as_str().into()),
            Missed::Wide(Wide::All) => Owes::All,
            Missed::Wide(Wide::Matching(pattern)) => Owes::Matching(pattern.as_str().into()),
        };
        self.write(tier, owes)
    }

    /// Empties the file if nothing is owed. Who owes something from now on writes it down afterwards.
    pub(super) fn forget_what_is_paid(&self) {
        if self.lines.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Ok(_turn) = self.turns.take(TURN) else {
            return;
        };
        if self.tiers.iter().any(|(_, debts)| debts.is_any()) {
            return;
        }
        if let Err(error) = self.empty() {
            tracing::warn!(%error, "debts that are paid would be paid again after a start");
        }
    }

    fn empty(&self) -> Result<()> {
        let emptied = self.file.set_len(0);
        emptied.map_err(|cause| failed(&self.path, "empty", cause))?;
        self.lines.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self, tier: &str, owes: Owes<'_>) -> Result<()> {
        let line = serde_json::to_string(&Line {
            tier: tier.into(),
            owes,
        });
        let line = line.map_err(|cause| {
            Error::new(ErrorKind::Internal, "a debt cannot be written down").because(cause)
        })?;
        let line = format!("{line}\n");
        self.lines.fetch_add(1, Ordering::Relaxed);
        let written = (&self.file).write_all(line.as_bytes());
        written.map_err(|cause| failed(&self.path, "write", cause))
    }

    /// Owes what the line says; whether it says anything that can be understood.
    fn owe(&self, line: &[u8]) -> bool {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            return false;
        };
        let named = self.tiers.iter().filter(|(name, _)| *name == line.tier);
        let named = named.map(|(_, debts)| debts);
        match line.owes {
            Owes::All => named.for_each(|debts| debts.owe_all()),
            Owes::Key(key) => match Key::new(&key) {
                Ok(key) => named.for_each(|debts| _ = debts.owe(&key)),
                Err(_) => return false,
            },
            Owes::Matching(pattern) => match KeyPattern::new(&pattern) {
                Ok(pattern) => named.for_each(|debts| debts.owe_matching(&pattern)),
                Err(_) => return false,
            },
        }
        true
    }
}

fn failed(path: &Path, what: &str, cause: std::io::Error) -> Error {
    let message = format!("cannot {what} the ledger of tiers {}", path.display());
    Error::new(ErrorKind::Io, message)
        .with_help("give a file, no link, in a directory that this process may write to")
        .because(cause)
}
