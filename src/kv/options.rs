//! How a cache keeps its values. Options can only be valid: what is out of range is refused when it is
//! set.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::ratio::Ratio;

/// How a cache keeps its values: for how long, in which version of their type, and what is done before
/// and after their end.
#[derive(Clone, Debug, PartialEq)]
pub struct KvOptions {
    pub(super) is_enabled: bool,
    pub(super) ttl: Duration,
    pub(super) grace: Duration,
    pub(super) schema: u32,
    pub(super) jitter: Ratio,
    pub(super) early_refresh: f64,
    pub(super) refresh_ahead: Ratio,
    pub(super) stale_while_revalidate: bool,
    pub(super) cross_process: bool,
    pub(super) lease: Duration,
    pub(super) soft_timeout: Option<Duration>,
    pub(super) load_timeout: Duration,
    pub(super) load_threads: usize,
}

impl Default for KvOptions {
    /// Enabled; 3600 seconds and no grace; schema version 1; no jitter and no refresh before the end;
    /// loads are shared among processes, under leases of 10 seconds, and waited for for 30 seconds; a
    /// source is asked on 4 threads.
    fn default() -> Self {
        KvOptions {
            is_enabled: true,
            ttl: Duration::from_secs(3600),
            grace: Duration::ZERO,
            schema: 1,
            jitter: Ratio::percent(0),
            early_refresh: 0.0,
            refresh_ahead: Ratio::percent(0),
            stale_while_revalidate: false,
            cross_process: true,
            lease: Duration::from_secs(10),
            soft_timeout: None,
            load_timeout: Duration::from_secs(30),
            load_threads: 4,
        }
    }
}

impl KvOptions {
    /// Whether the cache begins switched on.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.is_enabled = enabled;
        self
    }

    /// How long a value lives by default, counters too.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self> {
        if ttl.is_zero() {
            return Err(Error::out_of_range("ttl", "0s", "a positive duration"));
        }
        self.ttl = ttl;
        Ok(self)
    }

    /// How long a value is kept after its end for those who would rather have a stale one than none:
    /// `get_or_load` and its kin. For every other verb it is absent then. It takes room as before.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The version of the type of the values. One of another version is a miss.
    #[must_use]
    pub fn schema(mut self, version: u32) -> Self {
        self.schema = version;
        self
    }

    /// By which share of it the default lifetime is lengthened or shortened, at random, so that what was
    /// put together does not end together: 0.0 to 0.5. What is loaded is jittered whatever its lifetime.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn jitter(mut self, share: f64) -> Result<Self> {
        self.jitter = share_below(Ratio::percent(50), share, "jitter")?;
        Ok(self)
    }

    /// How eagerly a value is loaded anew before its end, at random, the more likely the nearer the end
    /// is and the longer its last load took: 0.0, never, to 10.0; 1.0 is right for most. This is XFetch:
    /// Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn early_refresh(mut self, beta: f64) -> Result<Self> {
        if !(0.0..=10.0).contains(&beta) {
            return Err(Error::out_of_range("early_refresh", beta, "0.0 to 10.0"));
        }
        self.early_refresh = beta;
        Ok(self)
    }

    /// A value is loaded anew when it is asked for in this last share of its life: 0.0, never, to 0.9.
    /// A source is asked in the background, a caller's own loader by that caller.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn refresh_ahead(mut self, share: f64) -> Result<Self> {
        self.refresh_ahead = share_below(Ratio::percent(90), share, "refresh_ahead")?;
        Ok(self)
    }

    /// Whether a stale value, in its grace, is answered at once, while it is loaded anew: in the
    /// background by a source, or by one of the callers. Otherwise it is answered only if the load fails.
    #[must_use]
    pub fn stale_while_revalidate(mut self, answers: bool) -> Self {
        self.stale_while_revalidate = answers;
        self
    }

    /// Whether a value is made once among all processes that share the tier, not once in each: whether
    /// one that another process is making is waited for. What is made beside it is not kept.
    ///
    /// While the shared tier is away each process makes it once, and keeps it in the tiers that it has alone,
    /// as a copy. What others change meanwhile, and what they have put there when it is back, is seen when
    /// the copy leaves: on a bus, no later than three heartbeats after the change, as of any copy, for all
    /// of them leave as often while nobody is heard (what takes longer to make is not kept at all);
    /// without one, when the copy is as old as those tiers together let copies be, from when it began to be
    /// made on. A load is no change: the shared tier does not get it later. A type that answers from
    /// the shared tier alone ([`Consistency::Strong`](super::Consistency::Strong)) keeps nothing meanwhile.
    #[must_use]
    pub fn cross_process(mut self, once: bool) -> Self {
        self.cross_process = once;
        self
    }

    /// For how long a process has the right to make a value alone, renewed while it does: 100 ms to 1 h.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn lease(mut self, time: Duration) -> Result<Self> {
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&time) {
            return Err(Error::out_of_range(
                "lease",
                format!("{time:?}"),
                "100ms to 1h",
            ));
        }
        self.lease = time;
        Ok(self)
    }

    /// How long a load by a source is waited for if there is a stale value: it is answered then, and the
    /// load goes on. `None` for as long as the load may take.
    #[must_use]
    pub fn soft_timeout(mut self, time: Option<Duration>) -> Self {
        self.soft_timeout = time;
        self
    }

    /// How long somebody else's load is waited for, and any load by a source.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn load_timeout(mut self, time: Duration) -> Result<Self> {
        if time.is_zero() {
            return Err(Error::out_of_range(
                "load_timeout",
                "0s",
                "a positive duration",
            ));
        }
        self.load_timeout = time;
        Ok(self)
    }

    /// How many loads by a source are made at the same time, 1 to 64.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn load_threads(mut self, threads: usize) -> Result<Self> {
        if !(1..=64).contains(&threads) {
            return Err(Error::out_of_range("load_threads", threads, "1 to 64"));
        }
        self.load_threads = threads;
        Ok(self)
    }
}

fn share_below(most: Ratio, share: f64, key: &str) -> Result<Ratio> {
    Ratio::new(share)
        .filter(|ratio| *ratio <= most)
        .ok_or_else(|| Error::out_of_range(key, share, &format!("0.0 to {most}")))
}
