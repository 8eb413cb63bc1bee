//! The threads on which sources are asked: so many at most, started when they are first needed, over one
//! queue with a bound.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::primitives::thread::{self, ThreadId};
use crate::tier::Key;
use crate::worker::Worker;

/// Jobs that wait: more than that is a source that is overrun, and its callers ask it themselves.
const MAX_QUEUED: usize = 1024;

/// What is to be done.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The threads. Dropped, it forgets what waits, and waits for what is being done for as long as a
/// [`Worker`] does.
pub(super) struct Pool {
    most: usize,
    queue: Arc<Queue>,
    workers: Mutex<Vec<Worker>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Who works here.
    threads: Mutex<Vec<ThreadId>>,
}

/// What waits to be done, and who cannot go on without.
#[derive(Default)]
struct Waiting {
    jobs: VecDeque<(Key, Job)>,
    /// What threads of ours wait for: a job for such a key would wait for the thread that waits for it.
    awaited: Vec<Key>,
}

/// A thread of the pool waits for what is made under the key, until this is dropped.
pub(super) struct Awaits<'p> {
    pool: &'p Pool,
    key: &'p Key,
}

impl Pool {
    /// Without a thread yet.
    pub(super) fn new(most: usize) -> Self {
        Pool {
            most,
            queue: Arc::default(),
            workers: Mutex::default(),
        }
    }

    /// Has the job, which is for this key, done by one of the threads, and does not wait for it. Hands
    /// it back if too many wait, a thread of ours waits for it, or none can be started.
    pub(super) fn run(&self, key: Key, job: Job) -> Result<(), Job> {
        {
            let mut waiting = self.queue.waiting.lock();
            if waiting.jobs.len() >= MAX_QUEUED || waiting.awaited.contains(&key) {
                return Err(job);
            }
            waiting.jobs.push_back((key, job));
        }
        if self.ring() {
            return Ok(());
        }
        // Nobody works here: what waits is this job, or one that another caller takes back.
        match self.queue.next() {
            Some(job) => Err(job),
            None => Ok(()),
        }
    }

    /// A thread of ours is going to wait for what is made under the key: it does the jobs for it that
    /// wait already, and those that come while it waits are handed back to whoever brings them.
    pub(super) fn awaits<'p>(&'p self, key: &'p Key) -> Awaits<'p> {
        self.queue.waiting.lock().awaited.push(key.clone());
        while let Some(job) = self.take_back(key) {
            job();
        }
        Awaits { pool: self, key }
    }

    fn take_back(&self, key: &Key) -> Option<Job> {
        let jobs = &mut self.queue.waiting.lock().jobs;
        let at = jobs.iter().position(|(of, _)| of == key)?;
        jobs.remove(at).map(|(_, job)| job)
    }

    /// Whether this thread is one of them: it must not wait for the others.
    pub(super) fn is_own_thread(&self) -> bool {
        let id = thread::current().id();
        self.queue.threads.lock().contains(&id)
    }

    /// Wakes all, and starts one more if there may be one; whether there is any.
    fn ring(&self) -> bool {
        let mut workers = self.workers.lock();
        if workers.len() < self.most {
            let queue = Arc::clone(&self.queue);
            match Worker::spawn("cardex-load", move |stop| queue.work(stop)) {
                Ok(worker) => workers.push(worker),
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
        workers.iter().for_each(Worker::ring);
        !workers.is_empty()
    }
}

impl Queue {
    fn next(&self) -> Option<Job> {
        self.waiting.lock().jobs.pop_front().map(|(_, job)| job)
    }

    fn work(&self, stop: &AtomicBool) -> Option<std::time::Duration> {
        let id = thread::current().id();
        let mut threads = self.threads.lock();
        if !threads.contains(&id) {
            threads.push(id);
        }
        drop(threads);
        while !stop.load(Ordering::Relaxed)
            && let Some(job) = self.next()
        {
            // A loader's panic never comes here: this is about jobs that follow.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a load broke");
            }
        }
        None
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let jobs = std::mem::take(&mut self.queue.waiting.lock().jobs);
        drop(jobs);
    }
}

impl Drop for Awaits<'_> {
    fn drop(&mut self) {
        let awaited = &mut self.pool.queue.waiting.lock().awaited;
        if let Some(at) = awaited.iter().position(|key| key == self.key) {
            awaited.swap_remove(at);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("most", &self.most)
            .field("waiting", &self.queue.waiting.lock().jobs.len())
            .finish_non_exhaustive()
    }
}
