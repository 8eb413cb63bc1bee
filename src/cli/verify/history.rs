//! `History`: every commit that was made, as one chain, each where the one before it ended. It
//! rebuilds the database at any position, and says which commits surely, and which possibly, were
//! made by a time.

use cardex::Result;
use rusqlite::Connection;

use super::foreign::{head, stored};
use super::recording::{Commit, State};
use super::world::PATHS;

/// All commits, and the state after each.
#[derive(Debug)]
pub(super) struct History {
    /// In the order of the log.
    commits: Vec<Commit>,
    /// The states of each path, with the sequence of the commit that made each.
    states: Vec<Vec<(u64, State)>>,
    /// By the time of the acknowledgement: the highest sequence acknowledged until then.
    acknowledged: Vec<(u64, u64)>,
    /// By the time of the beginning: the highest sequence begun until then.
    begun: Vec<(u64, u64)>,
}

impl History {
    /// The history of these commits, in any order; else what is wrong, if they are no chain.
    pub(super) fn new(mut commits: Vec<Commit>) -> Result<Self, String> {
        commits.sort_by_key(|commit| commit.sequence);
        let mut states = vec![vec![(0, None)]; PATHS];
        let mut last = 0;
        for commit in &commits {
            if commit.before != last || commit.sequence <= last {
                return Err(format!(
                    "the chain of commits breaks at {last}: {commit:?} is the next"
                ));
            }
            last = commit.sequence;
            for (path, state) in &commit.changes {
                states[*path].push((commit.sequence, *state));
            }
        }
        let highest = |time: fn(&Commit) -> u64| {
            let mut times: Vec<_> = commits.iter().map(|c| (time(c), c.sequence)).collect();
            times.sort_unstable();
            let mut most = 0;
            for (_, sequence) in &mut times {
                most = most.max(*sequence);
                *sequence = most;
            }
            times
        };
        Ok(History {
            acknowledged: highest(|commit| commit.acknowledged),
            begun: highest(|commit| commit.begun),
            states,
            commits,
        })
    }

    /// What is wrong if the database is not what these commits made of it.
    pub(super) fn compare(&self, database: &Connection) -> Result<Option<String>> {
        let last = self.commits.last().map_or(0, |commit| commit.sequence);
        let head = head(database)?;
        if head != last {
            return Ok(Some(format!(
                "the log ends at {head}, and the last commit known at {last}"
            )));
        }
        for path in 0..PATHS {
            let (is, was) = (stored(database, path)?, self.state(path, last));
            if is != was {
                return Ok(Some(format!(
                    "path {path} is {is:?} at the end, and was made {was:?}"
                )));
            }
        }
        Ok(None)
    }

    /// What was surely committed before this time.
    pub(super) fn surely_by(&self, time: u64) -> u64 {
        before(&self.acknowledged, time)
    }

    /// What may have been committed before this time.
    pub(super) fn possibly_by(&self, time: u64) -> u64 {
        before(&self.begun, time)
    }

    /// Whether a commit ended there, or nothing was ever committed.
    pub(super) fn is_commit(&self, sequence: u64) -> bool {
        let found = self.commits.binary_search_by_key(&sequence, |c| c.sequence);
        sequence == 0 || found.is_ok()
    }

    /// What a path held as of a sequence.
    pub(super) fn state(&self, path: usize, sequence: u64) -> State {
        let states = &self.states[path];
        let after = states.partition_point(|(at, _)| *at <= sequence);
        states[after - 1].1
    }

    /// Whether there was an instant from one commit to another at which the path had no file.
    pub(super) fn was_absent(&self, path: usize, from: u64, to: u64) -> bool {
        let states = &self.states[path];
        let first = states.partition_point(|(at, _)| *at <= from) - 1;
        let mut between = states[first..]
            .iter()
            .take_while(|(at, _)| *at <= to.max(from));
        between.any(|(_, state)| state.is_none())
    }
}

fn before(times: &[(u64, u64)], time: u64) -> u64 {
    match times.partition_point(|(at, _)| *at < time) {
        0 => 0,
        count => times[count - 1].1,
    }
}
