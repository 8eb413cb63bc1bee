//! Reading what the processes of a history recorded: the lines of `lines`, one value each. What is no
//! line of a recording is an error that names its file and place.

use std::collections::BTreeMap;
use std::path::Path;

use cardex::{Error, ErrorKind, Result};

use super::lines::{Asked, SUFFIX};
use super::world::{Content, PATHS};

/// A file of a state: the sequence of its last change, and its content.
pub(super) type State = Option<(u64, Content)>;

/// A commit of anybody.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    /// When whoever made it began, and when it knew.
    pub(super) begun: u64,
    pub(super) acknowledged: u64,
    /// The end of the log before and after.
    pub(super) before: u64,
    pub(super) sequence: u64,
    pub(super) changes: Vec<(usize, State)>,
}

/// An answer, as it was recorded.
#[derive(Debug)]
pub(super) struct Answer<'l> {
    pub(super) line: &'l str,
    /// When it was asked and when it was there.
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) asked: Asked,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Absent {
        path: usize,
    },
    Record {
        path: usize,
        as_of: u64,
        version: u64,
        content: Content,
    },
    Stats {
        as_of: u64,
        age: u64,
    },
    Hits {
        as_of: u64,
        age: u64,
        question: usize,
        limit: usize,
        total: usize,
        /// Path, version and language of each, in numbers.
        hits: Vec<[u64; 3]>,
    },
    /// A write of its own returned.
    Wrote {
        as_of: u64,
    },
}

/// One line.
#[derive(Debug)]
pub(super) enum Line<'l> {
    Answer(Answer<'l>),
    Commit(Commit),
    /// Which database was seen.
    Epoch(&'l str),
    /// An error that a caller was given.
    Refused(&'l str),
    /// A write of this path is about to begin, at this time.
    Intent(u64, usize),
    /// The write changed nothing.
    NoChange,
    /// A process was killed.
    Killed,
    /// Something was done to disturb the others.
    Fault,
}

impl<'l> Line<'l> {
    /// What a line says; nothing if it is none of a recording.
    pub(super) fn parse(line: &'l str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match kind {
            "c" => Line::Commit(Commit::parse(rest)?),
            "g" | "q" | "s" => Line::Answer(Answer::parse(line)?),
            "e" => Line::Epoch(rest),
            "x" => Line::Refused(rest),
            "i" => {
                let (begun, number) = rest.split_once(' ')?;
                Line::Intent(begun.parse().ok()?, path(number)?)
            }
            "n" => Line::NoChange,
            "k" => Line::Killed,
            "f" => Line::Fault,
            _ => return None,
        })
    }
}

fn path(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number < PATHS)
}

impl Commit {
    fn parse(rest: &str) -> Option<Commit> {
        let mut words = rest.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (begun, acknowledged) = (number()?, number()?);
        let (before, sequence) = (number()?, number()?);
        let mut changes = Vec::new();
        while let Some(number) = words.next() {
            let version = words.next()?.parse().ok()?;
            let state = match words.next()? {
                "-" => None,
                content => Some((version, Content::parse(content)?)),
            };
            changes.push((path(number)?, state));
        }
        Some(Commit {
            begun,
            acknowledged,
            before,
            sequence,
            changes,
        })
    }

    /// What its writer knew when it returned.
    pub(super) fn as_answer<'l>(&self, line: &'l str) -> Answer<'l> {
        Answer {
            line,
            from: self.begun,
            to: self.acknowledged,
            asked: Asked::Cached,
            what: What::Wrote {
                as_of: self.sequence,
            },
        }
    }
}

impl<'l> Answer<'l> {
    fn parse(line: &'l str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let mut time = || words.next()?.parse().ok();
        let (from, to) = (time()?, time()?);
        let asked = Asked::parse(words.next()?)?;
        let what = match kind {
            "s" => What::stats(words)?,
            "q" => What::hits(words)?,
            _ => What::got(words)?,
        };
        Some(Answer {
            line,
            from,
            to,
            asked,
            what,
        })
    }

    /// The sequence that it says it is true of; nothing for an absent file.
    pub(super) fn as_of(&self) -> Option<u64> {
        match self.what {
            What::Absent { .. } => None,
            What::Record { as_of, .. }
            | What::Stats { as_of, .. }
            | What::Hits { as_of, .. }
            | What::Wrote { as_of } => Some(as_of),
        }
    }
}

impl What {
    fn stats<'l>(mut words: impl Iterator<Item = &'l str>) -> Option<Self> {
        Some(What::Stats {
            as_of: words.next()?.parse().ok()?,
            age: words.next()?.parse().ok()?,
        })
    }

    fn hits<'l>(mut words: impl Iterator<Item = &'l str>) -> Option<Self> {
        let mut number = || words.next()?.parse::<u64>().ok();
        let (as_of, age) = (number()?, number()?);
        let [question, limit, total] = [number()?, number()?, number()?].map(|n| n as usize);
        let hits = words.map(|hit| {
            let mut parts = hit.split(':').map(|part| part.parse().ok());
            Some([parts.next()??, parts.next()??, parts.next()??])
        });
        Some(What::Hits {
            as_of,
            age,
            question,
            limit,
            total,
            hits: hits.collect::<Option<_>>()?,
        })
    }

    fn got<'l>(mut words: impl Iterator<Item = &'l str>) -> Option<Self> {
        let path = path(words.next()?)?;
        Some(match words.next()? {
            "-" => What::Absent { path },
            as_of => What::Record {
                path,
                as_of: as_of.parse().ok()?,
                version: words.next()?.parse().ok()?,
                content: Content::parse(words.next()?)?,
            },
        })
    }
}

/// The text that one part of a process recorded.
#[derive(Debug)]
pub(super) struct Part {
    name: String,
    text: String,
}

impl Part {
    #[cfg(test)]
    pub(super) fn new(text: &str) -> Self {
        let (name, text) = ("test".to_owned(), text.to_owned());
        Part { name, text }
    }

    pub(super) fn read(file: &Path) -> Result<Self> {
        let mut text = std::fs::read_to_string(file).map_err(|cause| {
            let message = format!("cannot read {}", file.display());
            Error::new(ErrorKind::Io, message).because(cause)
        })?;
        // Whoever is killed may leave a torn line at the end.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        let name = file.display().to_string();
        Ok(Part { name, text })
    }

    /// Its lines, with the text of each.
    pub(super) fn lines(&self) -> impl Iterator<Item = Result<(&str, Line<'_>)>> {
        let lines = self.text.lines().enumerate();
        lines.map(|(at, text)| match Line::parse(text) {
            Some(line) => Ok((text, line)),
            None => {
                let message = format!("{}:{} is no line of a recording", self.name, at + 1);
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        })
    }
}

/// What every process recorded in a folder, by its name.
///
/// # Errors
/// `Io` if it cannot be read; `InvalidInput` if nothing was recorded there.
pub(super) fn read(folder: &Path) -> Result<BTreeMap<String, Vec<Part>>> {
    let unreadable = |cause: std::io::Error| {
        let message = format!("cannot read {}", folder.display());
        Error::new(ErrorKind::Io, message).because(cause)
    };
    let mut processes: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        if let Some((process, _)) = parts.and_then(|parts| parts.rsplit_once('.')) {
            let part = Part::read(&entry.path())?;
            processes.entry(process.to_owned()).or_default().push(part);
        }
    }
    if processes.is_empty() {
        let message = format!("{} holds no recording", folder.display());
        return Err(Error::new(ErrorKind::InvalidInput, message)
            .with_help("name a folder that `cardex verify` kept"));
    }
    Ok(processes)
}
