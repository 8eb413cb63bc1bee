//! `Lines`: where a process records what it was told and what it committed. A line is one answer or
//! one commit; it is appended with one write, so a process that is killed leaves whole lines and at
//! most one torn one. `recording` reads them.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cardex::{Error, ErrorKind, Freshness, Position, Record, Result};

use super::task::Task;
use super::world::{Content, path, path_number, strange};

/// What the names of recorded files end in.
pub(super) const SUFFIX: &str = ".lines";

/// The file of one part of a process: one of its threads, or its error.
pub(super) fn file(folder: &Path, process: &str, part: impl fmt::Display) -> PathBuf {
    folder.join(format!("{process}.{part}{SUFFIX}"))
}

/// Where a thread appends its lines.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    path: PathBuf,
    epoch: Option<u64>,
    line: String,
}

impl Lines {
    /// The lines of a part of this process; nobody has begun them.
    pub(super) fn new(task: &Task, part: impl fmt::Display) -> Result<Self> {
        let path = file(&task.folder, &task.name, part);
        let file = File::create_new(&path).map_err(|cause| unwritable(&path, cause))?;
        Ok(Lines {
            file,
            path,
            epoch: None,
            line: String::new(),
        })
    }

    /// One line, in one write.
    pub(super) fn tell(&mut self, line: fmt::Arguments<'_>) -> Result<()> {
        use std::fmt::Write as _;
        self.line.clear();
        // Writing to a string fails only if a value cannot be shown, and these all can.
        let _ = self.line.write_fmt(line);
        self.line.push('\n');
        self.file
            .write_all(self.line.as_bytes())
            .map_err(|cause| unwritable(&self.path, cause))
    }

    /// An error that a caller was given.
    pub(super) fn refused(&mut self, error: &str) -> Result<()> {
        let error = error.replace('\n', " ");
        self.tell(format_args!("x {error}"))
    }

    /// The epoch of what was told, if anything was.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// The sequence of a position; its epoch is told once, and may not change: nobody swaps the
    /// database.
    pub(super) fn sequence(&mut self, position: Position) -> Result<u64> {
        if self.epoch.is_none() {
            self.epoch = Some(position.epoch);
            self.tell(format_args!("e {}", position.epoch))?;
        }
        if self.epoch != Some(position.epoch) {
            let known = self.epoch.unwrap_or_default();
            let what = format!("{position} is of another epoch than {known:016x}");
            return Err(strange(what));
        }
        Ok(position.sequence)
    }

    /// What a get found of a path, called and returned at these times.
    pub(super) fn got(
        &mut self,
        [from, to]: [u64; 2],
        asked: Asked,
        number: usize,
        found: Option<&Record>,
    ) -> Result<()> {
        let Some(record) = found else {
            return self.tell(format_args!("g {from} {to} {asked} {number} -"));
        };
        if record.path != path(number)? {
            let what = format!("{} was told for {}", record.path, path(number)?);
            return Err(strange(what));
        }
        let as_of = self.sequence(record.as_of())?;
        self.got_at([from, to], asked, as_of, record)
    }

    /// A record that is said to be true of this sequence.
    pub(super) fn got_at(
        &mut self,
        [from, to]: [u64; 2],
        asked: Asked,
        as_of: u64,
        record: &Record,
    ) -> Result<()> {
        let (number, version) = (path_number(record.path.as_str())?, record.version());
        let content = Content::of(record)?;
        self.tell(format_args!(
            "g {from} {to} {asked} {number} {as_of} {version} {content}"
        ))
    }

    /// A commit that ended here in the log, begun and acknowledged at these times. `changes` is a
    /// list of ` PATH VERSION CONTENT`, with ` PATH 0 -` for a file that went.
    pub(super) fn committed(
        &mut self,
        [begun, done]: [u64; 2],
        [before, sequence]: [u64; 2],
        changes: &str,
    ) -> Result<()> {
        self.tell(format_args!(
            "c {begun} {done} {before} {sequence}{changes}"
        ))
    }
}

/// A changed file of a commit, as [`Lines::committed`] takes it.
pub(super) fn change(number: usize, state: Option<(u64, Content)>) -> String {
    match state {
        Some((version, content)) => format!(" {number} {version} {content}"),
        None => format!(" {number} 0 -"),
    }
}

fn unwritable(path: &Path, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write {}", path.display())).because(cause)
}

/// How fresh an answer was asked to be: `c`, `l`, `m<nanoseconds>`, `a<sequence>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Cached,
    Latest,
    MaxAge(u64),
    AtLeast(u64),
}

impl Asked {
    pub(super) fn freshness(self, epoch: u64) -> Freshness {
        match self {
            Asked::Cached => Freshness::Cached,
            Asked::Latest => Freshness::Latest,
            Asked::MaxAge(age) => Freshness::MaxAge(Duration::from_nanos(age)),
            Asked::AtLeast(sequence) => Freshness::AtLeast(Position { epoch, sequence }),
        }
    }

    /// The demand that [`Display`](fmt::Display) writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = || text.get(1..)?.parse().ok();
        match text.as_bytes().first()? {
            b'c' => Some(Asked::Cached),
            b'l' => Some(Asked::Latest),
            b'm' => Some(Asked::MaxAge(number()?)),
            b'a' => Some(Asked::AtLeast(number()?)),
            _ => None,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Cached => f.write_str("c"),
            Asked::Latest => f.write_str("l"),
            Asked::MaxAge(age) => write!(f, "m{age}"),
            Asked::AtLeast(sequence) => write!(f, "a{sequence}"),
        }
    }
}
