//! The proof, made offline from what the processes recorded. The commits form one chain, each where
//! the one before it ended, and rebuild the database; then every answer is held against the state at
//! the position that it names, and against the commits that it may not have missed.

use std::path::Path;

use rusqlite::Connection;

use super::writer::{head, stored};
use super::{Asked, Content, PATHS};

/// A file of a state: the sequence of its last change, and its content.
type State = Option<(u64, Content)>;

/// A commit of anybody.
#[derive(Clone, Debug)]
pub struct Commit {
    pub begun: u64,
    pub acknowledged: u64,
    /// The end of the log before and after.
    pub before: u64,
    pub sequence: u64,
    pub changes: Vec<(usize, State)>,
}

impl Commit {
    /// What a line says, if it is of a commit.
    pub fn parse(line: &str) -> Option<Commit> {
        let mut words = line.strip_prefix("c ")?.split(' ');
        let mut number = || -> u64 { words.next().unwrap().parse().unwrap() };
        let [begun, acknowledged, before, sequence] = [(); 4].map(|()| number());
        let mut changes = Vec::new();
        while let Some(path) = words.next() {
            let version = words.next().unwrap().parse().unwrap();
            let content = words.next().unwrap();
            let state = (content != "-").then(|| (version, Content::parse(content)));
            changes.push((path.parse().unwrap(), state));
        }
        Some(Commit {
            begun,
            acknowledged,
            before,
            sequence,
            changes,
        })
    }
}

/// All commits, and the state after each.
#[derive(Debug)]
pub struct History {
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
    /// # Panics
    /// If the commits are no chain, or do not end in what the database holds.
    pub fn new(mut commits: Vec<Commit>, database: &Connection) -> Self {
        commits.sort_by_key(|commit| commit.sequence);
        let mut states = vec![vec![(0, None)]; PATHS];
        let mut last = 0;
        for commit in &commits {
            assert_eq!(
                commit.before, last,
                "the chain of commits breaks: {commit:?}"
            );
            last = commit.sequence;
            for (path, state) in &commit.changes {
                states[*path].push((commit.sequence, *state));
            }
        }
        assert_eq!(head(database), last, "every commit is known");
        for (path, states) in states.iter().enumerate() {
            let (_, state) = states.last().unwrap();
            assert_eq!(*state, stored(database, path), "path {path} at the end");
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
        History {
            acknowledged: highest(|commit| commit.acknowledged),
            begun: highest(|commit| commit.begun),
            states,
            commits,
        }
    }

    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// What was surely committed before this time.
    fn surely_by(&self, time: u64) -> u64 {
        before(&self.acknowledged, time)
    }

    /// What may have been committed before this time.
    fn possibly_by(&self, time: u64) -> u64 {
        before(&self.begun, time)
    }

    fn is_commit(&self, sequence: u64) -> bool {
        let found = self.commits.binary_search_by_key(&sequence, |c| c.sequence);
        sequence == 0 || found.is_ok()
    }

    fn state(&self, path: usize, sequence: u64) -> State {
        let states = &self.states[path];
        let after = states.partition_point(|(at, _)| *at <= sequence);
        states[after - 1].1
    }

    /// Whether there was an instant from one commit to another at which the path had no file.
    fn was_absent(&self, path: usize, from: u64, to: u64) -> bool {
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

/// What is wrong with an answer.
type Verdict = Result<(), String>;

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}

/// An answer, as it was recorded.
#[derive(Debug)]
struct Answer<'l> {
    line: &'l str,
    from: u64,
    to: u64,
    asked: Asked,
    what: What,
}

#[derive(Debug)]
enum What {
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
        hits: Vec<[u64; 3]>,
    },
    /// A write of its own returned.
    Wrote {
        as_of: u64,
    },
}

impl<'l> Answer<'l> {
    /// What a line says, if it is of an answer or of a write.
    fn parse(line: &'l str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        if !matches!(kind, "g" | "q" | "s" | "c") {
            return None;
        }
        let mut time = || words.next().unwrap().parse().unwrap();
        let (from, to) = (time(), time());
        let (mut asked, mut numbers) = (Asked::Cached, Vec::new());
        if kind != "c" {
            asked = Asked::parse(words.next().unwrap());
        }
        let mut rest = words.clone();
        let mut content = None;
        let mut hits = Vec::new();
        for word in words {
            if word.contains(':') {
                let mut parts = word.split(':').map(|part| part.parse().unwrap());
                hits.push([(); 3].map(|()| parts.next().unwrap()));
            } else if word.contains('.') {
                content = Some(Content::parse(word));
            } else if let Ok(number) = word.parse::<u64>() {
                numbers.push(number);
            }
        }
        let number = |at: usize| numbers[at];
        let what = match kind {
            "c" => What::Wrote { as_of: number(1) },
            "s" => What::Stats {
                as_of: number(0),
                age: number(1),
            },
            "q" => What::Hits {
                as_of: number(0),
                age: number(1),
                question: number(2) as usize,
                limit: number(3) as usize,
                total: number(4) as usize,
                hits,
            },
            _ if rest.nth(1) == Some("-") => What::Absent {
                path: number(0) as usize,
            },
            _ => What::Record {
                path: number(0) as usize,
                as_of: number(1),
                version: number(2),
                content: content.unwrap(),
            },
        };
        Some(Answer {
            line,
            from,
            to,
            asked,
            what,
        })
    }

    fn as_of(&self) -> Option<u64> {
        match self.what {
            What::Absent { .. } => None,
            What::Record { as_of, .. }
            | What::Stats { as_of, .. }
            | What::Hits { as_of, .. }
            | What::Wrote { as_of } => Some(as_of),
        }
    }

    /// The least that it may reflect, by what was asked and by the age that it states.
    fn least(&self, history: &History) -> u64 {
        let demanded = match self.asked {
            Asked::Cached => 0,
            Asked::Latest => history.surely_by(self.from),
            Asked::MaxAge(age) => history.surely_by(self.from.saturating_sub(age)),
            Asked::AtLeast(sequence) => sequence,
        };
        let stated = match self.what {
            // It was read between the two times, and of a look that began no later.
            What::Stats { age, .. } => history.surely_by(self.from.saturating_sub(age)),
            What::Hits { age, .. } => history.surely_by(self.to.saturating_sub(age)),
            _ => 0,
        };
        demanded.max(stated)
    }

    /// Compares it with the history, and with what its process knew before it.
    fn check(&self, history: &History, known: u64) -> Verdict {
        let least = self.least(history);
        let most = history.possibly_by(self.to);
        if let Some(as_of) = self.as_of() {
            ensure(history.is_commit(as_of), || {
                "no commit ended there".to_owned()
            })?;
            ensure(as_of >= least, || format!("older than it may be: {least}"))?;
            ensure(as_of >= known, || format!("went back from {known}"))?;
            ensure(as_of <= most, || {
                format!("ahead of every commit begun: {most}")
            })?;
        }
        match &self.what {
            What::Absent { path } => {
                let least = least.max(known);
                ensure(history.was_absent(*path, least, most), || {
                    format!("it was there from {least} to {most}")
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
                    format!("it was {state:?} then")
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
                    .map(|(path, (version, content))| {
                        [path as u64, version, content.language as u64]
                    })
                    .collect();
                let shown = (*limit).min(all.len());
                ensure(all.len() == *total && all[..shown] == hits[..], || {
                    format!("it was {all:?}")
                })
            }
            What::Stats { .. } | What::Wrote { .. } => Ok(()),
        }
    }
}

/// How many answers of each kind were checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    pub answers: usize,
    pub records: usize,
    pub absent: usize,
    pub queries: usize,
    pub latest: usize,
    pub at_least: usize,
    pub max_age: usize,
}

/// Checks all that one process recorded, in the files of its threads.
///
/// # Panics
/// If an answer is wrong; names it.
pub fn check_process(history: &History, files: &[impl AsRef<Path>], checked: &mut Checked) {
    let texts: Vec<String> = files
        .iter()
        .map(|file| whole_lines(file.as_ref()))
        .collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    let mut answers: Vec<Answer<'_>> = lines.filter_map(Answer::parse).collect();
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
        if let Err(why) = answer.check(history, known) {
            panic!("{why}\n{}\nof {:?}", answer.line, files[0].as_ref());
        }
        let count = match answer.what {
            What::Wrote { .. } => continue,
            What::Absent { .. } => &mut checked.absent,
            What::Record { .. } => &mut checked.records,
            What::Hits { .. } | What::Stats { .. } => &mut checked.queries,
        };
        *count += 1;
        checked.answers += 1;
        match answer.asked {
            Asked::Cached => {}
            Asked::Latest => checked.latest += 1,
            Asked::MaxAge(_) => checked.max_age += 1,
            Asked::AtLeast(_) => checked.at_least += 1,
        }
    }
}

/// The lines of a file without a torn one at its end.
pub fn whole_lines(file: &Path) -> String {
    let mut text = std::fs::read_to_string(file).unwrap_or_default();
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    text
}
