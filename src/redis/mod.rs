//! The client of a Redis server: one pool of connections, made when they are wanted and dropped when in
//! doubt; attempts, for what may be tried again; and a circuit breaker, so that a server that is down
//! costs nobody more than a word. It knows nothing of what is kept there.

mod breaker;
mod fault;
mod instance;
mod link;
mod options;
mod stream;
mod subscription;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use redis::RedisError;
use scheduled_thread_pool::ScheduledThreadPool;

use self::breaker::{Breaker, Pass, Standing};
use self::fault::Fault;
pub(crate) use self::fault::Trouble;
pub(crate) use self::instance::Instance;
use self::link::{Doubt, Identity, Slot, Slots};
pub(crate) use self::link::{Link, MAX_REPLY};
pub use self::options::RedisOptions;
pub(crate) use self::subscription::Heard;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::health::{Health, HealthState, Reason};

/// How long the second attempt waits, about; each further one waits twice as long.
const PAUSE: Duration = Duration::from_millis(20);
/// The most connections that are remembered because something that they were told is in doubt. The
/// circuit is open long before.
const MAX_LOST: usize = 1000;

/// The connections to one Redis server, shared by all tiers of a process.
///
/// What cannot be done is an error of kind `Unavailable`: when the circuit is open, at once. Reads are
/// tried again after a pause that varies; a write is only while nothing of it was sent, or when the
/// server said that it did not do it. A write whose reply did not come may have been done, or not: that
/// is an error, too. It is not done any later: before anything else is asked, the server is told to
/// close the connection of such a write (where `CLIENT LIST` and `CLIENT KILL` are allowed to the user).
///
/// Its verbs do I/O. An attempt waits for a place in the pool, for a connection, and for all replies, at
/// most for the time-out each; how long a name is looked up is the system's, and replies that keep
/// coming are read to their end, up to 65 MiB a request.
pub struct RedisClient {
    options: RedisOptions,
    server: String,
    clock: Arc<dyn Clock>,
    pool: r2d2::Pool<Slots>,
    breaker: Mutex<Breaker>,
    /// How often a connection was found broken: those that were made before are not trusted.
    generation: AtomicU64,
    /// Connections that broke while a write was under way, which is in doubt.
    lost: Mutex<Vec<Identity>>,
    /// How many those are.
    lost_count: AtomicUsize,
    last_error: Mutex<Option<Error>>,
}

/// An attempt that failed.
struct Failed {
    error: Error,
    /// Whether another one may do better, and does no harm.
    may_repeat: bool,
}

impl RedisClient {
    /// A client of the server. Nothing is sent yet.
    pub fn new(options: RedisOptions, clock: Arc<dyn Clock>) -> Arc<Self> {
        // One thread: all it does here is to make empty places.
        let threads = ScheduledThreadPool::builder().num_threads(1).build();
        let pool = r2d2::Pool::builder()
            .max_size(options.max_connections)
            .min_idle(Some(0))
            .connection_timeout(options.timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_on_check_out(false)
            .thread_pool(Arc::new(threads))
            .build_unchecked(Slots);
        let breaker = Breaker::new(options.breaker_failures, options.breaker_cooldown);
        Arc::new(RedisClient {
            server: options.server(),
            options,
            clock,
            pool,
            breaker: Mutex::new(breaker),
            generation: AtomicU64::new(0),
            lost: Mutex::default(),
            lost_count: AtomicUsize::new(0),
            last_error: Mutex::default(),
        })
    }

    /// The server's address and database, without user and password.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// How long each thing is waited for.
    pub(crate) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// How often a connection was found broken: as often as the server was started again, at least.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Asks the server whether it is there.
    ///
    /// # Errors
    /// `Unavailable` if it is not, or is not asked.
    pub fn ping(&self) -> Result<()> {
        let ping = redis::pipe().cmd("PING").clone();
        self.run(|link| link.ask(&ping).map(drop))
    }

    /// How it does, by what was seen last: nothing is asked.
    pub fn health(&self) -> Health {
        let health = Health::healthy("redis");
        let (state, standing) = match self.breaker.lock().standing(self.clock.elapsed()) {
            Standing::Closed => return health,
            Standing::HalfOpen => (HealthState::Degraded, "is being tried again".to_owned()),
            Standing::Open(left) => (HealthState::Unhealthy, not_asked(left)),
        };
        let mut message = format!("the Redis server {} {standing}", self.server);
        let mut reason = Reason::new(ErrorKind::Unavailable.code(), "");
        if let Some(error) = &*self.last_error.lock() {
            message.push_str(&format!(": {error:#}"));
            reason.help = error.help().map(str::to_owned);
        }
        reason.message = message;
        health.but(state, reason)
    }

    /// Whether the server failed when it was asked last: it was not got to, or was not ready. One that
    /// declines what it is asked is there. Nothing is asked.
    pub(crate) fn is_away(&self) -> bool {
        self.breaker.lock().is_failing()
    }

    /// Does a piece of work on a connection, again from its beginning on another connection if that may
    /// do better and [`Link::tell`] had nothing done yet.
    pub(crate) fn run<T>(
        &self,
        mut work: impl FnMut(&mut Link) -> Result<T, Trouble>,
    ) -> Result<T> {
        let mut attempt = 1;
        loop {
            let failed = match self.attempt(&mut work)? {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            let is_over = attempt >= self.options.attempts || !self.is_admitting();
            if !failed.may_repeat || is_over {
                return Err(failed.error);
            }
            self.pause(attempt);
            attempt += 1;
        }
    }

    /// One attempt. The outer errors are no failures of the server.
    fn attempt<T>(
        &self,
        work: &mut dyn FnMut(&mut Link) -> Result<T, Trouble>,
    ) -> Result<Result<T, Failed>> {
        // Nobody waits in a line for a server that is not asked.
        if !self.is_admitting() {
            return Err(self.refused());
        }
        let timeout = self.options.timeout;
        let mut slot = self.pool.get_timeout(timeout).map_err(|_| {
            let size = self.options.max_connections;
            let message = format!(
                "none of {size} connections to the Redis server {} came free within {timeout:?}",
                self.server
            );
            Error::new(ErrorKind::Unavailable, message).with_help("raise redis.max_connections")
        })?;
        let pass = self.breaker.lock().admit(self.clock.elapsed());
        let pass = Admitted {
            client: self,
            pass: pass.ok_or_else(|| self.refused())?,
            is_told: false,
        };
        let mut link = match self.link(&mut slot) {
            Ok(link) => link,
            Err(error) => return Ok(Err(self.failed(pass, &error, true))),
        };
        let done = self.close_lost(&mut link).and_then(|()| work(&mut link));
        self.finish(pass, &mut slot, link, done)
    }

    /// The connection of the place, or a new one.
    fn link(&self, slot: &mut Slot) -> Result<Link, RedisError> {
        let generation = self.generation.load(Ordering::Acquire);
        match slot.take(generation) {
            Some(link) => Ok(link),
            None => Link::open(&self.options.info, self.options.timeout, generation),
        }
    }

    /// Keeps the connection or drops it, and tells the breaker how the server did.
    fn finish<T>(
        &self,
        pass: Admitted<'_>,
        slot: &mut Slot,
        mut link: Link,
        done: Result<T, Trouble>,
    ) -> Result<Result<T, Failed>> {
        let error = match done {
            Err(Trouble::Server(error)) if Fault::of(&error) != Fault::Declined => error,
            done => {
                pass.succeeded();
                if link.finish().is_ok() {
                    slot.keep(link);
                }
                return match done {
                    Ok(done) => Ok(Ok(done)),
                    Err(Trouble::Ours(error)) => Err(error),
                    Err(Trouble::Server(error)) => Err(self.error(&error)),
                    Err(Trouble::TooLong) => Err(self.too_long()),
                };
            }
        };
        let doubt = link.doubt();
        if doubt.is_some()
            && let Some(identity) = link.identity()
        {
            self.remember(identity.clone());
        }
        if error.is_connection_dropped() {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        drop(link);
        Ok(Err(self.failed(pass, &error, doubt != Some(Doubt::Final))))
    }

    fn failed(&self, pass: Admitted<'_>, cause: &RedisError, may_repeat: bool) -> Failed {
        let fault = Fault::of(cause);
        let error = self.error(cause);
        *self.last_error.lock() = Some(error.clone());
        pass.failed(fault == Fault::Refused);
        Failed {
            error,
            may_repeat: may_repeat && matches!(fault, Fault::Lost | Fault::Busy),
        }
    }

    fn error(&self, cause: &RedisError) -> Error {
        let server = &self.server;
        let message = match Fault::of(cause) {
            Fault::Lost if cause.is_timeout() => {
                format!("the Redis server {server} did not answer in time")
            }
            Fault::Lost => format!("the connection to the Redis server {server} failed"),
            Fault::Busy => format!("the Redis server {server} is not ready"),
            Fault::Refused => format!("the Redis server {server} does not let us in"),
            Fault::Declined => format!("the Redis server {server} does not do this"),
        };
        Error::new(ErrorKind::Unavailable, message)
            .with_help(Fault::of(cause).help())
            // As text: the library's error repeats itself as its own cause.
            .because(cause.to_string())
    }

    fn too_long(&self) -> Error {
        let message = format!(
            "a reply of the Redis server {} is longer than {} MiB",
            self.server,
            MAX_REPLY >> 20
        );
        Error::new(ErrorKind::Unavailable, message)
            .with_help("see who else keeps something on this server, and how long its names are")
    }

    /// The error of those who came while the circuit is open.
    fn refused(&self) -> Error {
        let standing = self.breaker.lock().standing(self.clock.elapsed());
        let why = match standing {
            Standing::Open(left) => not_asked(left),
            Standing::Closed | Standing::HalfOpen => "is being tried again".to_owned(),
        };
        let error = Error::new(
            ErrorKind::Unavailable,
            format!("the Redis server {} {why}", self.server),
        );
        match &*self.last_error.lock() {
            Some(last) => error
                .with_help(last.help().unwrap_or_default())
                .because(last.clone()),
            None => error,
        }
    }

    fn is_admitting(&self) -> bool {
        self.breaker.lock().would_admit(self.clock.elapsed())
    }

    /// Waits before another attempt: half to one and a half times what it is at this one, so that those
    /// who failed together do not come again together.
    fn pause(&self, attempt: u32) {
        let pause = PAUSE.saturating_mul(1 << (attempt - 1).min(16));
        let pause = pause.min(self.options.timeout);
        thread::sleep(pause.mul_f64(0.5 + fastrand::f64()));
    }

    /// Remembers a connection on which a write is in doubt.
    fn remember(&self, identity: Identity) {
        let mut lost = self.lost.lock();
        if lost.len() == MAX_LOST {
            lost.remove(0);
        }
        lost.push(identity);
        self.lost_count.store(lost.len(), Ordering::Release);
    }

    /// Has the server close the connections on which a write is in doubt: from then on, it was done, or
    /// will never be. A server that was started again knows none of them.
    fn close_lost(&self, link: &mut Link) -> Result<(), Trouble> {
        if self.lost_count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        // They are forgotten when that is done, not before: another thread may come by meanwhile.
        let all = self.lost.lock().clone();
        for other in &all {
            match link.close_other(other) {
                Err(Trouble::Server(error)) if Fault::of(&error) == Fault::Declined => {
                    tracing::warn!(server = self.server, %error, "cannot close a lost connection");
                }
                done => done?,
            }
        }
        let mut lost = self.lost.lock();
        lost.retain(|identity| !all.contains(identity));
        self.lost_count.store(lost.len(), Ordering::Release);
        Ok(())
    }
}

fn not_asked(left: Duration) -> String {
    let seconds = left.as_secs_f64();
    format!("failed, and is not asked for the next {seconds:.1} seconds")
}

/// Somebody who was let through by the breaker, and owes it a word: that it was not made, if nothing
/// else was said.
struct Admitted<'c> {
    client: &'c RedisClient,
    pass: Pass,
    is_told: bool,
}

impl Admitted<'_> {
    fn succeeded(mut self) {
        self.is_told = true;
        self.client.breaker.lock().succeeded(self.pass);
    }

    fn failed(mut self, at_once: bool) {
        self.is_told = true;
        let now = self.client.clock.elapsed();
        self.client.breaker.lock().failed(self.pass, now, at_once);
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            let now = self.client.clock.elapsed();
            self.client.breaker.lock().gave_up(self.pass, now);
        }
    }
}

impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisClient")
            .field("options", &self.options)
            .field("breaker", &self.breaker)
            .field("pool", &self.pool.state())
            .finish_non_exhaustive()
    }
}
