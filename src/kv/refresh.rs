//! Before the end of a value, and in its grace: when it is loaded anew although it is there, and what is
//! answered meanwhile. A refresh that fails leaves the old value where it is, until its end.

use std::time::Duration;

use super::KvCache;
use super::found::Found;
use super::load::{Made, Order};
use crate::error::Result;
use crate::single_flight::Boarding;
use crate::tier::{Lifetime, Term};

impl KvCache {
    /// Whether a fresh value of this lifetime is to be loaded anew by now.
    pub(super) fn is_early(&self, found: &Found, lifetime: Lifetime) -> bool {
        let options = &self.0.options;
        let Some(left) = found.entry.fresh() else {
            return false;
        };
        let ahead = lifetime.resolve(options.ttl).ok().flatten().map(|life| {
            let ns = u64::try_from(life.as_nanos()).unwrap_or(u64::MAX);
            Duration::from_nanos(options.refresh_ahead.of(ns))
        });
        let is_near = ahead.is_some_and(|ahead| left < ahead);
        is_near
            || is_drawn(
                left,
                found.envelope.cost(),
                options.early_refresh,
                1.0 - fastrand::f64(),
            )
    }

    /// Loads anew by the caller, unless somebody else does.
    pub(super) fn refresh_here(&self, order: &Order, make: impl FnOnce() -> Made) {
        if let Boarding::Leads(lead) = self.0.flights.board(&order.key) {
            // It is counted, and the old value stays.
            let _ = self.lead_refresh(lead, order, make);
        }
    }

    /// Loads a stale value anew by one caller, of all processes; the others have the stale one.
    pub(super) fn refresh_or_stale(
        &self,
        order: &Order,
        stale: &Found,
        make: impl FnOnce() -> Made,
    ) -> Made {
        let made = match self.0.flights.board(&order.key) {
            Boarding::Leads(lead) => self.lead_refresh(lead, order, make),
            Boarding::Joins(_) => None,
        };
        made.unwrap_or_else(|| {
            self.0.counters.stale_answers.bump();
            Ok(Some(stale.envelope.clone()))
        })
    }

    /// The term of a value that is loaded: jittered, whatever its lifetime.
    pub(super) fn loaded_term(&self, lifetime: Lifetime) -> Result<Term> {
        let mut term = self.term(lifetime)?;
        if let (Lifetime::For(_), Lifetime::For(time)) = (lifetime, term.lifetime) {
            term.lifetime = Lifetime::For(self.jittered(time));
        }
        Ok(term)
    }

    /// The time, longer or shorter by at most the share of the options.
    pub(super) fn jittered(&self, time: Duration) -> Duration {
        let share = self.0.options.jitter.as_f64();
        if share == 0.0 {
            return time;
        }
        let factor = 1.0 + share * (2.0 * fastrand::f64() - 1.0);
        let ns = (time.as_nanos() as f64 * factor).clamp(1.0, u64::MAX as f64);
        Duration::from_nanos(ns as u64)
    }
}

/// XFetch: whether a value that took so long to load, and has so long to live, is loaded anew now, for a
/// random number above 0 and up to 1.
fn is_drawn(left: Duration, cost: Duration, beta: f64, random: f64) -> bool {
    let gap = cost.as_secs_f64() * beta * -random.ln();
    gap > 0.0 && gap >= left.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_refresh_is_the_likelier_the_nearer_the_end_and_the_longer_the_load() {
        let share = |left, cost, beta| {
            let random = (1..=10_000).map(|n| f64::from(n) / 10_000.0);
            random.filter(|r| is_drawn(left, cost, beta, *r)).count()
        };
        // The chance is e^(-left / (cost * beta)).
        let expected = |rate: f64| (10_000.0 * (-rate).exp()) as usize;
        for (left, cost, beta, rate) in [
            (SECOND, SECOND, 1.0, 1.0),
            (3 * SECOND, SECOND, 1.0, 3.0),
            (3 * SECOND, 3 * SECOND, 1.0, 1.0),
            (3 * SECOND, SECOND, 3.0, 1.0),
        ] {
            let drawn = share(left, cost, beta);
            assert!(drawn.abs_diff(expected(rate)) <= 1, "{drawn} of {rate}");
        }
        assert_eq!(share(SECOND, SECOND, 0.0), 0, "switched off");
        assert_eq!(share(SECOND, Duration::ZERO, 10.0), 0, "it costs nothing");
    }
}
