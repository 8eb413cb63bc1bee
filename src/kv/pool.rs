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
    jobs: Mutex<VecDeque<(Key, Job)>>,
    /// Who works here.
    threads: Mutex<Vec<ThreadId>>,
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
    /// it back if too many wait, or no thread can be started.
    pub(super) fn run(&self, key: Key, job: Job) -> Result<(), Job> {
        {
            let mut jobs = self.queue.jobs.lock();
            if jobs.len() >= MAX_QUEUED {
                return Err(job);
            }
            jobs.push_back((key, job));
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

    /// A job for the key that waits to be done, if there is one: for a thread that cannot go on without.
    pub(super) fn take_back(&self, key: &Key) -> Option<Job> {
        let mut jobs = self.queue.jobs.lock();
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
        self.jobs.lock().pop_front().map(|(_, job)| job)
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
        let waiting = std::mem::take(&mut *self.queue.jobs.lock());
        drop(waiting);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("most", &self.most)
            .field("waiting", &self.queue.jobs.lock().len())
            .finish_non_exhaustive()
    }
}
