//! A process that asks: threads over one cache put every kind of question as fresh as they please,
//! and record each answer. Bodies are dropped now and then, so that gets also read the database.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cardex::{Answer, Cardex, ErrorKind, Fetch, Result};
use fastrand::Rng;

use super::lines::{Asked, Lines, file};
use super::task::{Task, now};
use super::world::{PATHS, QUESTIONS, language_number, path, path_number, query, strange};

/// The answers between two rests, which leave the processor to the writers.
const BURST: usize = 4;
const REST: Duration = Duration::from_millis(1);
/// More than the longest line of a commit.
const TAIL: u64 = 1000;

/// Asks until the task is over, or until the first error of any thread.
pub(super) fn run(task: &Task) -> Result<()> {
    let cardex = task.open()?;
    let failed = AtomicBool::new(false);
    let work = |thread: usize| {
        let asks = || {
            let mut asker = Asker::of_thread(task, thread)?;
            while !task.is_over() && !failed.load(Ordering::Relaxed) {
                for _ in 0..BURST {
                    asker.ask(&cardex)?;
                }
                std::thread::sleep(REST);
            }
            Ok(())
        };
        let done = asks();
        failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done
    };
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..task.threads)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(done) => done,
                Err(_) => Err(strange("a thread that asked panicked".to_owned())),
            })
            .fold(Ok(()), Result::and)
    })
}

/// A thread that asks.
pub(super) struct Asker<'t> {
    task: &'t Task,
    lines: Lines,
    random: Rng,
    /// What the writers have recorded.
    told: Vec<File>,
}

impl<'t> Asker<'t> {
    pub(super) fn of_thread(task: &'t Task, thread: usize) -> Result<Self> {
        Ok(Asker {
            task,
            lines: Lines::new(task, thread)?,
            random: Rng::with_seed(task.seed.wrapping_add(thread as u64)),
            told: Vec::new(),
        })
    }

    /// Opens what the writers record, as soon as they have begun.
    fn listen(&mut self) {
        let files = (0..self.task.writers)
            .map(|writer| file(&self.task.folder, &format!("writer-{writer}"), 0));
        self.told = files.filter_map(|file| File::open(file).ok()).collect();
    }

    pub(super) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    pub(super) fn random(&mut self) -> &mut Rng {
        &mut self.random
    }

    /// One question, or a nuisance.
    pub(super) fn ask(&mut self, cardex: &Cardex) -> Result<()> {
        match self.random.u32(..100) {
            0 => cardex.clear(),
            1..5 => cardex.evict(self.random.usize(..8)).map(drop),
            5..10 => self.stats(cardex),
            10..15 => self.several(cardex),
            15..20 => self.page(cardex),
            20..60 => self.one(cardex),
            _ => {
                let (asked, epoch) = (self.freshness(), self.epoch(cardex)?);
                let (question, limit) = self.question();
                let query = query(question, limit)?;
                let from = now();
                let answer = cardex.query_with(&query, asked.freshness(epoch))?;
                self.answered(from, asked, question, limit, &answer)?;
                Ok(())
            }
        }
    }

    fn stats(&mut self, cardex: &Cardex) -> Result<()> {
        let from = now();
        let stats = cardex.stats()?;
        let to = now();
        let as_of = self.lines.sequence(stats.watermark)?;
        let age = stats
            .age
            .ok_or_else(|| strange("an index that was read has no age".to_owned()))?
            .as_nanos();
        self.lines
            .tell(format_args!("s {from} {to} c {as_of} {age}"))
    }

    fn several(&mut self, cardex: &Cardex) -> Result<()> {
        let numbers: Vec<usize> = (0..4).map(|_| self.random.usize(..PATHS)).collect();
        let paths: Vec<_> = numbers
            .iter()
            .map(|number| path(*number))
            .collect::<Result<_>>()?;
        let from = now();
        let found = cardex.get_many(&paths)?;
        let times = [from, now()];
        for (number, record) in numbers.into_iter().zip(found) {
            self.lines
                .got(times, Asked::Cached, number, record.as_ref())?;
        }
        Ok(())
    }

    fn one(&mut self, cardex: &Cardex) -> Result<()> {
        let (asked, epoch) = (self.freshness(), self.epoch(cardex)?);
        let number = self.random.usize(..PATHS);
        let path = path(number)?;
        let from = now();
        let found = cardex.get_with(&path, asked.freshness(epoch))?;
        let times = [from, now()];
        self.lines.got(times, asked, number, found.as_ref())
    }

    /// A query and the records that it found.
    fn page(&mut self, cardex: &Cardex) -> Result<()> {
        let (question, limit) = self.question();
        let from = now();
        let (answer, page) = match cardex.query_records(&query(question, limit)?, &Fetch::all()) {
            // They changed each time.
            Err(error) if error.kind() == ErrorKind::Superseded => return Ok(()),
            found => found?,
        };
        let to = self.answered(from, Asked::Cached, question, limit, &answer)?;
        let as_of = self.lines.sequence(answer.as_of())?;
        if page.records.len() != answer.len() {
            let (records, files) = (page.records.len(), answer.len());
            return Err(strange(format!(
                "{records} records were given for {files} files"
            )));
        }
        page.records
            .iter()
            .try_for_each(|record| self.lines.got_at([from, to], Asked::Cached, as_of, record))
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
        answer: &Answer,
    ) -> Result<u64> {
        use std::fmt::Write as _;
        // Read before the age is: what the age is said to be is then no later than that.
        let to = now();
        let age = answer.age().as_nanos();
        if !answer.is_complete() {
            return Err(strange(
                "an answer is not complete, and every row is good".to_owned(),
            ));
        }
        let as_of = self.lines.sequence(answer.as_of())?;
        let mut hits = String::new();
        for hit in answer.hits() {
            let number = path_number(hit.path)?;
            let language = hit
                .language
                .and_then(language_number)
                .ok_or_else(|| strange(format!("nobody gave {} its language", hit.path)))?;
            // Writing to a string does not fail.
            let _ = write!(hits, " {number}:{}:{language}", hit.version);
        }
        let (limit, total) = (limit.unwrap_or(PATHS), answer.total());
        self.lines.tell(format_args!(
            "q {from} {to} {asked} {as_of} {age} {question} {limit} {total}{hits}"
        ))?;
        Ok(to)
    }

    fn epoch(&mut self, cardex: &Cardex) -> Result<u64> {
        if let Some(epoch) = self.lines.epoch() {
            return Ok(epoch);
        }
        let position = cardex.snapshot()?.position();
        self.lines.sequence(position)?;
        Ok(position.epoch)
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
        if self.told.len() < self.task.writers {
            self.listen();
        }
        let at = self.random.usize(..self.told.len().max(1));
        let file = self.told.get_mut(at)?;
        let end = file.seek(SeekFrom::End(0)).ok()?;
        file.seek(SeekFrom::Start(end.saturating_sub(TAIL))).ok()?;
        let mut tail = String::new();
        file.read_to_string(&mut tail).ok()?;
        let whole = &tail[..tail.rfind('\n')?];
        let commit = whole.rsplit('\n').find(|line| line.starts_with("c "))?;
        commit.split(' ').nth(4)?.parse().ok()
    }
}
