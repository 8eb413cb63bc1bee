//! The caches that write: one that goes on to the end, and one that writes until it is killed. Each
//! reads what it wrote; the second records what it is about to do, for it may die meanwhile.

use std::io::Write as _;
use std::ops::Range;
use std::time::Duration;

use cardex::{Cardex, Error, ErrorKind, Result};

use super::lines::{Asked, change};
use super::reader::Asker;
use super::task::{Task, now};
use super::world::{Content, PATHS, SHARED, path};

/// The rest after a commit: others want to write too.
pub(super) const REST: Duration = Duration::from_millis(1);

/// A number that no other state of any writer has.
pub(super) fn tag(task: &Task, n: u64) -> u64 {
    (task.seed % (1 << 20)) << 32 | n
}

/// Writes the files that foreign programs write too.
pub(super) fn run(task: &Task) -> Result<()> {
    let cardex = task.open()?;
    let mut writer = Writer::new(task, &cardex)?;
    let mut n = 0;
    while !task.is_over() {
        n += 1;
        writer.write(tag(task, n), 0..SHARED)?;
        std::thread::sleep(REST);
    }
    Ok(())
}

/// Writes files of its own until it dies, and says so after each.
pub(super) fn victim(task: &Task) -> Result<()> {
    let cardex = task.open()?;
    let mut writer = Writer::new(task, &cardex)?;
    let mut out = std::io::stdout();
    let mut n = 0;
    while !task.is_over() {
        n += 1;
        writer.write(tag(task, n), SHARED..PATHS)?;
        out.write_all(b"!\n").map_err(|cause| {
            Error::new(
                ErrorKind::Io,
                "cannot tell of a write on the standard output",
            )
            .because(cause)
        })?;
    }
    Ok(())
}

struct Writer<'c> {
    cardex: &'c Cardex,
    asker: Asker<'c>,
}

impl<'c> Writer<'c> {
    fn new(task: &'c Task, cardex: &'c Cardex) -> Result<Self> {
        let asker = Asker::of_thread(task, 0)?;
        Ok(Writer { cardex, asker })
    }

    /// Writes one of these files, reads it, and asks something.
    fn write(&mut self, tag: u64, numbers: Range<usize>) -> Result<()> {
        let number = self.asker.random().usize(numbers);
        let content = Content::random(tag, self.asker.random());
        let removes = self.asker.random().u32(..4) == 0;
        let begun = now();
        self.asker
            .lines()
            .tell(format_args!("i {begun} {number}"))?;
        if removes {
            let removal = self.cardex.remove(&path(number)?)?;
            let done = now();
            let lines = self.asker.lines();
            let sequence = lines.sequence(removal.position)?;
            match removal.existed {
                false => lines.tell(format_args!("n"))?,
                true => lines.committed(
                    [begun, done],
                    [sequence.saturating_sub(1), sequence],
                    &change(number, None),
                )?,
            }
        } else {
            let position = self.cardex.update(&content.record(number)?)?;
            let done = now();
            let lines = self.asker.lines();
            let sequence = lines.sequence(position)?;
            lines.committed(
                [begun, done],
                [sequence.saturating_sub(1), sequence],
                &change(number, Some((sequence, content))),
            )?;
        }
        let from = now();
        let found = self.cardex.get(&path(number)?)?;
        let times = [from, now()];
        self.asker
            .lines()
            .got(times, Asked::Cached, number, found.as_ref())?;
        self.asker.ask(self.cardex)
    }
}
