//! A process that asks: threads over one cache put every kind of question as fresh as they please,
//! and record each answer. Bodies are dropped now and then, so that gets also read the database.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use cardex::{Cardex, ErrorKind, Fetch};
use fastrand::Rng;

use super::{Asked, Lines, PATHS, QUESTIONS, Task, now, path, query};

/// The answers between two rests, which leave the processor to the writers.
const BURST: usize = 4;
const REST: std::time::Duration = std::time::Duration::from_millis(1);
/// More than the longest line of a commit.
const TAIL: u64 = 1000;

/// Asks until the task is over.
pub fn run(task: &Task) {
    let cardex = task.open();
    std::thread::scope(|scope| {
        for thread in 0..task.threads {
            let cardex = &cardex;
            scope.spawn(move || {
                let mut asker = Asker::new(task, thread);
                while !task.is_over() {
                    for _ in 0..BURST {
                        asker.ask(cardex);
                    }
                    std::thread::sleep(REST);
                }
            });
        }
    });
}

pub struct Asker {
    lines: Lines,
    random: Rng,
    folder: PathBuf,
    /// What the writers have recorded.
    told: Vec<File>,
}

impl Asker {
    fn new(task: &Task, thread: usize) -> Self {
        let random = Rng::with_seed(task.seed.wrapping_add(thread as u64));
        Self::with(Lines::new(task, thread), random, task)
    }

    pub fn with(lines: Lines, random: Rng, task: &Task) -> Self {
        Asker {
            lines,
            random,
            folder: task.folder.clone(),
            told: Vec::new(),
        }
    }

    /// Opens what the writers record, as soon as they have begun.
    fn listen(&mut self) {
        let writers = ["foreign-0", "writer-0"].into_iter();
        let files = writers.map(|name| self.folder.join(format!("{name}.0.lines")));
        self.told = files.filter_map(|file| File::open(file).ok()).collect();
    }

    pub fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    pub fn random(&mut self) -> &mut Rng {
        &mut self.random
    }

    /// One question, or a nuisance.
    pub fn ask(&mut self, cardex: &Cardex) {
        let (asked, epoch) = (self.freshness(), self.epoch(cardex));
        match self.random.u32(..100) {
            0 => cardex.clear().unwrap(),
            1..5 => drop(cardex.evict(self.random.usize(..8)).unwrap()),
            5..10 => {
                let from = now();
                let stats = cardex.stats().unwrap();
                let to = now();
                let as_of = self.lines.sequence(stats.watermark);
                let age = stats.age.unwrap().as_nanos();
                self.lines
                    .tell(format_args!("s {from} {to} c {as_of} {age}"));
            }
            10..15 => {
                let numbers: Vec<usize> = (0..4).map(|_| self.random.usize(..PATHS)).collect();
                let paths: Vec<_> = numbers.iter().map(|number| path(*number)).collect();
                let from = now();
                let found = cardex.get_many(&paths).unwrap();
                let times = [from, now()];
                for (number, record) in numbers.into_iter().zip(found) {
                    self.lines
                        .got(times, Asked::Cached, number, record.as_ref());
                }
            }
            15..20 => self.page(cardex),
            20..60 => {
                let number = self.random.usize(..PATHS);
                let path = path(number);
                let from = now();
                let found = cardex.get_with(&path, asked.freshness(epoch)).unwrap();
                let times = [from, now()];
                self.lines.got(times, asked, number, found.as_ref());
            }
            _ => {
                let (question, limit) = self.question();
                let query = query(question, limit);
                let from = now();
                let answer = cardex.query_with(&query, asked.freshness(epoch)).unwrap();
                self.answered(from, asked, question, limit, &answer);
            }
        }
    }

    /// A query and the records that it found.
    fn page(&mut self, cardex: &Cardex) {
        let (question, limit) = self.question();
        let from = now();
        match cardex.query_records(&query(question, limit), &Fetch::all()) {
            // They changed each time.
            Err(error) if error.kind() == ErrorKind::Superseded => {}
            found => {
                let (answer, page) = found.unwrap();
                let to = self.answered(from, Asked::Cached, question, limit, &answer);
                let as_of = self.lines.sequence(answer.as_of());
                assert_eq!(page.records.len(), answer.len());
                for record in &page.records {
                    self.lines.got_at([from, to], Asked::Cached, as_of, record);
                }
            }
        }
    }

    fn question(&mut self) -> (usize, Option<usize>) {
        let limit = self.random.usize(1..8);
        let limit = (self.random.u32(..10) > 0).then_some(limit);
        (self.random.usize(..QUESTIONS), limit)
    }

    /// Records an answer; when it was complete.
    fn answered(
        &mut self,
        from: u64,
        asked: Asked,
        question: usize,
        limit: Option<usize>,
        answer: &cardex::Answer,
    ) -> u64 {
        use std::fmt::Write as _;
        // Read before the age is: what the age is said to be is then no later than that.
        let to = now();
        let age = answer.age().as_nanos();
        assert!(answer.is_complete());
        let as_of = self.lines.sequence(answer.as_of());
        let mut hits = String::new();
        for hit in answer.hits() {
            let number = super::path_number(hit.path);
            let language = super::language_number(hit.language.unwrap());
            write!(hits, " {number}:{}:{language}", hit.version).unwrap();
        }
        let (limit, total) = (limit.unwrap_or(PATHS), answer.total());
        self.lines.tell(format_args!(
            "q {from} {to} {asked} {as_of} {age} {question} {limit} {total}{hits}"
        ));
        to
    }

    fn epoch(&mut self, cardex: &Cardex) -> u64 {
        match self.lines.epoch {
            Some(epoch) => epoch,
            None => {
                let position = cardex.snapshot().unwrap().position();
                self.lines.sequence(position);
                position.epoch
            }
        }
    }

    fn freshness(&mut self) -> Asked {
        match self.random.u32(..20) {
            0..10 => Asked::Cached,
            10..14 => Asked::MaxAge(self.random.u64(..20_000_000)),
            14..17 => Asked::Latest,
            _ => self.told().map_or(Asked::Latest, Asked::AtLeast),
        }
    }

    /// The last commit that some writer has told of.
    fn told(&mut self) -> Option<u64> {
        if self.told.len() < 2 {
            self.listen();
        }
        let at = self.random.usize(..self.told.len().max(1));
        let file = self.told.get_mut(at)?;
        let end = file.seek(SeekFrom::End(0)).unwrap();
        file.seek(SeekFrom::Start(end.saturating_sub(TAIL)))
            .unwrap();
        let mut tail = String::new();
        file.read_to_string(&mut tail).unwrap();
        let whole = &tail[..tail.rfind('\n')?];
        let commit = whole.rsplit('\n').find(|line| line.starts_with("c "))?;
        commit.split(' ').nth(4)?.parse().ok()
    }
}
