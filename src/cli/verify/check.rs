//! The proof, made from what the processes recorded. Every answer is held against the database at
//! the position that it names, against the commits that it may not have missed, and against what its
//! process knew before it asked.

use std::collections::BTreeSet;
use std::path::Path;

use cardex::Result;
use cardex::store::SqliteStore;
use serde::Serialize;

use super::foreign::connect;
use super::history::History;
use super::lines::Asked;
use super::recording::{self, Answer, Line, Part, What};
use super::task;
use super::world::PATHS;

/// How many violations are told; one fault can have many.
const MAX_TOLD: usize = 20;

/// What a recording proves.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proof {
    /// Answers that were checked, all of them and by what they are.
    pub(super) answers: u64,
    pub(super) records: u64,
    pub(super) absent: u64,
    pub(super) queries: u64,
    /// By the freshness that was demanded; the rest was asked to be as it is.
    pub(super) latest: u64,
    pub(super) at_least: u64,
    pub(super) max_age: u64,
    pub(super) commits: u64,
    pub(super) kills: u64,
    pub(super) faults: u64,
    /// At most [`MAX_TOLD`] of them.
    pub(super) violations: Vec<Violation>,
    pub(super) violations_total: u64,
}

/// Something that cannot be if every promise is kept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Violation {
    /// Who was told; nobody if it is about all of it.
    pub(super) process: Option<String>,
    pub(super) why: String,
    /// The offending answer, as it was recorded.
    pub(super) answer: Option<String>,
    pub(super) positions: Option<Positions>,
}

/// Where an answer says that it stands, and where it may.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Positions {
    /// What it names; nothing for an absent file.
    pub(super) as_of: Option<u64>,
    /// The least that the freshness it was asked for, and the age it states, allow.
    pub(super) least: u64,
    /// What had been returned to its process before it was asked.
    pub(super) known: u64,
    /// The last commit that had begun when it was there.
    pub(super) most: u64,
}

/// Checks what was recorded in a folder.
///
/// # Errors
/// `Io`, `InvalidInput` or `Database` if the recording or its database cannot be read.
pub(super) fn check(folder: &Path) -> Result<Proof> {
    let processes = recording::read(folder)?;
    let mut proof = Proof::default();
    let (mut commits, mut epochs) = (Vec::new(), BTreeSet::new());
    for (process, parts) in &processes {
        for part in parts {
            for line in part.lines() {
                match line?.1 {
                    Line::Commit(commit) => commits.push(commit),
                    Line::Epoch(epoch) => drop(epochs.insert(epoch)),
                    Line::Killed => proof.kills += 1,
                    Line::Fault => proof.faults += 1,
                    Line::Refused(error) => {
                        let why = format!("an error reached a caller: {error}");
                        proof.violated(Violation::of(Some(process), why));
                    }
                    Line::Answer(_) | Line::Intent(..) | Line::NoChange => {}
                }
            }
        }
    }
    if epochs.len() > 1 {
        let why = format!("there is one database, and its epochs are {epochs:?}");
        proof.violated(Violation::of(None, why));
    }
    let file = task::database(folder);
    for finding in SqliteStore::check_file(&file)? {
        let why = format!("the database is not sound: {}", finding.message);
        proof.violated(Violation::of(None, why));
    }
    proof.commits = commits.len() as u64;
    match History::new(commits) {
        Err(why) => proof.violated(Violation::of(None, why)),
        Ok(history) => {
            if let Some(why) = history.compare(&connect(&file)?)? {
                proof.violated(Violation::of(None, why));
            }
            for (process, parts) in &processes {
                proof.process(&history, process, parts)?;
            }
        }
    }
    Ok(proof)
}

impl Violation {
    fn of(process: Option<&str>, why: String) -> Self {
        Violation {
            process: process.map(str::to_owned),
            why,
            answer: None,
            positions: None,
        }
    }
}

impl Proof {
    fn violated(&mut self, violation: Violation) {
        self.violations_total += 1;
        if self.violations.len() < MAX_TOLD {
            self.violations.push(violation);
        }
    }

    /// Checks all that one process recorded.
    pub(super) fn process(
        &mut self,
        history: &History,
        process: &str,
        parts: &[Part],
    ) -> Result<()> {
        let mut answers = Vec::new();
        for line in parts.iter().flat_map(Part::lines) {
            match line? {
                (_, Line::Answer(answer)) => answers.push(answer),
                (text, Line::Commit(commit)) => answers.push(commit.as_answer(text)),
                _ => {}
            }
        }
        // What had been returned before a call began, to any thread, is known to its process.
        let mut returned: Vec<(u64, u64)> = answers
            .iter()
            .filter_map(|answer| Some((answer.to, answer.as_of()?)))
            .collect();
        returned.sort_unstable();
        answers.sort_unstable_by_key(|answer| answer.from);
        let (mut at, mut known) = (0, 0);
        for answer in &answers {
            while let Some((_, as_of)) = returned.get(at).filter(|(to, _)| *to < answer.from) {
                known = known.max(*as_of);
                at += 1;
            }
            let positions = Positions {
                as_of: answer.as_of(),
                least: least(answer, history),
                known,
                most: history.possibly_by(answer.to),
            };
            if let Err(why) = verdict(answer, history, positions) {
                self.violated(Violation {
                    process: Some(process.to_owned()),
                    why,
                    answer: Some(answer.line.to_owned()),
                    positions: Some(positions),
                });
            }
            self.count(answer);
        }
        Ok(())
    }

    fn count(&mut self, answer: &Answer<'_>) {
        let kind = match answer.what {
            What::Wrote { .. } => return,
            What::Absent { .. } => &mut self.absent,
            What::Record { .. } => &mut self.records,
            What::Hits { .. } | What::Stats { .. } => &mut self.queries,
        };
        *kind += 1;
        self.answers += 1;
        match answer.asked {
            Asked::Cached => {}
            Asked::Latest => self.latest += 1,
            Asked::MaxAge(_) => self.max_age += 1,
            Asked::AtLeast(_) => self.at_least += 1,
        }
    }
}

/// The least that an answer may reflect, by what was asked and by the age that it states.
fn least(answer: &Answer<'_>, history: &History) -> u64 {
    let demanded = match answer.asked {
        Asked::Cached => 0,
        Asked::Latest => history.surely_by(answer.from),
        Asked::MaxAge(age) => history.surely_by(answer.from.saturating_sub(age)),
        Asked::AtLeast(sequence) => sequence,
    };
    let stated = match answer.what {
        // It was read between the two times, and of a look that began no later.
        What::Stats { age, .. } => history.surely_by(answer.from.saturating_sub(age)),
        What::Hits { age, .. } => history.surely_by(answer.to.saturating_sub(age)),
        _ => 0,
    };
    demanded.max(stated)
}

/// What is wrong with an answer.
type Verdict = Result<(), String>;

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}

/// Compares an answer with the history, and with what its process knew before it.
fn verdict(answer: &Answer<'_>, history: &History, positions: Positions) -> Verdict {
    let Positions {
        as_of,
        least,
        known,
        most,
    } = positions;
    if let Some(as_of) = as_of {
        ensure(history.is_commit(as_of), || {
            format!("no commit ended at {as_of}")
        })?;
        ensure(as_of >= least, || {
            format!("of {as_of}, and older than it may be: {least}")
        })?;
        ensure(as_of >= known, || {
            format!("of {as_of}: went back from {known}")
        })?;
        ensure(as_of <= most, || {
            format!("of {as_of}: ahead of every commit begun, {most} the last")
        })?;
    }
    match &answer.what {
        What::Absent { path } => {
            let least = least.max(known);
            ensure(history.was_absent(*path, least, most), || {
                format!("said to be absent, and there from {least} to {most}")
            })
        }
        What::Record {
            path,
            as_of,
            version,
            content,
        } => {
            let state = history.state(*path, *as_of);
            ensure(state == Some((*version, *content)), || {
                format!("another record than that of {as_of}: {state:?}")
            })
        }
        What::Hits {
            as_of,
            question,
            limit,
            total,
            hits,
            ..
        } => {
            let all: Vec<_> = (0..PATHS)
                .filter_map(|path| Some((path, history.state(path, *as_of)?)))
                .filter(|(_, (_, content))| content.answers(*question))
                .map(|(path, (version, content))| [path as u64, version, content.language as u64])
                .collect();
            let shown = (*limit).min(all.len());
            ensure(all.len() == *total && all[..shown] == hits[..], || {
                format!("other files than those of {as_of}: {all:?}")
            })
        }
        What::Stats { .. } | What::Wrote { .. } => Ok(()),
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
