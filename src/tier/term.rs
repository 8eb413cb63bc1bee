//! For how long a value is kept: the time in which it is fresh, the grace after it, and how much of
//! both a tier in front of others may hold it.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How long a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the `ttl` of the tier, or of the cache, says.
    Default,
    /// Until it is removed, or its room is needed.
    Never,
    /// That long; it is gone at the end of it. 0 is refused. More than 584 years are forever.
    For(Duration),
}

impl Lifetime {
    /// How long, where this is the default; `None` is forever.
    ///
    /// # Errors
    /// `InvalidInput` for 0.
    pub fn resolve(self, ttl: Duration) -> Result<Option<Duration>> {
        match self {
            Lifetime::Default => Ok(Some(ttl)),
            Lifetime::Never => Ok(None),
            Lifetime::For(Duration::ZERO) => Err(Error::new(
                ErrorKind::InvalidInput,
                "a lifetime of 0 keeps nothing",
            )
            .with_help("give a positive duration, the default, or never")),
            Lifetime::For(time) => Ok(Some(time)),
        }
    }
}

/// A lifetime, and what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// How long the value is fresh.
    pub lifetime: Lifetime,
    /// How much longer it is kept for those who would rather have a stale value than none. Nothing of
    /// it counts if the value never expires.
    pub grace: Duration,
    /// The most that this tier holds it, whatever its end is: the value may be fetched again from a
    /// tier behind.
    pub at_most: Option<Duration>,
}

impl From<Lifetime> for Term {
    /// Without a grace, and held to the end.
    fn from(lifetime: Lifetime) -> Self {
        Term {
            lifetime,
            grace: Duration::ZERO,
            at_most: None,
        }
    }
}

/// A term, told from now on: what tiers make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Until the value ends, its grace included; `None` is never.
    pub(super) life: Option<Duration>,
    /// Until it leaves this tier, not after its end; `None` is never.
    pub(super) held: Option<Duration>,
    /// The grace at the end of its life; 0 if that has none.
    pub(super) grace: Duration,
}

impl Term {
    /// The same term for who begins it so much later, so that it ends when it would have ended; `None`
    /// if nothing of its fresh time is left. A default lifetime is no time, and stays.
    pub(super) fn later(self, ago: Duration) -> Option<Self> {
        let lifetime = match self.lifetime {
            Lifetime::For(time) if time <= ago => return None,
            Lifetime::For(time) => Lifetime::For(time - ago),
            endless => endless,
        };
        Some(Term { lifetime, ..self })
    }

    /// From now on, in a tier with this `ttl`.
    ///
    /// # Errors
    /// `InvalidInput` for a lifetime of 0.
    pub(super) fn resolve(self, ttl: Duration) -> Result<Times> {
        let fresh = self.lifetime.resolve(ttl)?;
        let life = fresh.map(|fresh| fresh.saturating_add(self.grace));
        let ends = [life, self.at_most];
        Ok(Times {
            life,
            held: ends.into_iter().flatten().min(),
            grace: fresh.map_or(Duration::ZERO, |_| self.grace),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_term_that_begins_later_ends_no_later() {
        let term = Term {
            grace: seconds(5),
            ..Term::from(Lifetime::For(seconds(60)))
        };
        let left = term.later(seconds(20)).unwrap();
        assert_eq!(
            (left.lifetime, left.grace),
            (Lifetime::For(seconds(40)), seconds(5))
        );
        assert_eq!(term.later(seconds(60)), None);
        let endless = Term::from(Lifetime::Never);
        assert_eq!(endless.later(seconds(60)), Some(endless));
    }

    #[test]
    fn a_tier_in_front_holds_no_longer_than_the_end() {
        let resolve = |term: Term| {
            let times = term.resolve(seconds(300)).unwrap();
            let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
            (
                seconds(times.life),
                seconds(times.held),
                times.grace.as_secs(),
            )
        };
        let term = |lifetime, grace, at_most| Term {
            lifetime,
            grace: seconds(grace),
            at_most,
        };
        let given = Lifetime::For(seconds(60));
        assert_eq!(resolve(given.into()), (Some(60), Some(60), 0));
        assert_eq!(resolve(Lifetime::Default.into()), (Some(300), Some(300), 0));
        let capped = term(given, 30, Some(seconds(70)));
        assert_eq!(resolve(capped), (Some(90), Some(70), 30));
        let capped = term(given, 30, Some(seconds(100)));
        assert_eq!(resolve(capped), (Some(90), Some(90), 30));
        let endless = term(Lifetime::Never, 30, Some(seconds(70)));
        assert_eq!(resolve(endless), (None, Some(70), 0));
        let error = Term::from(Lifetime::For(Duration::ZERO)).resolve(seconds(300));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
