//! How the caches of a process do, and the memory that they share with others.

use super::{CacheCoordinator, CoordinatorStats, Pressure};
use crate::health::{Health, HealthState, Reason};

impl CacheCoordinator {
    /// How it does: as its caches and their memory do. Asks every cache.
    pub fn health(&self) -> Health {
        self.stats().health()
    }
}

impl CoordinatorStats {
    /// How the caches did then: degraded where memory is tight or not known, or where a cache could not
    /// be asked.
    pub fn health(&self) -> Health {
        let memory = self.pressure.health(self.pressure_threshold);
        let failed = self.caches.iter().filter_map(|cache| {
            let error = cache.report.as_ref().err()?;
            let health = Health::healthy(&cache.name);
            Some(health.but(HealthState::Degraded, Reason::from(error)))
        });
        let parts = failed.chain([memory]).collect();
        Health::healthy("caches").with_parts(parts)
    }
}

impl Pressure {
    /// How memory does: degraded above this used share of a limit, and where no limit is known.
    pub fn health(&self, threshold: f64) -> Health {
        let health = Health::healthy("memory");
        let Some(tightest) = self.tightest() else {
            let message = "how much memory is used is not known: caches give no room by themselves";
            let reason = Reason::new("memory-unknown", message)
                .with_help("set coordinator.max_bytes: what the caches hold is always known");
            return health.but(HealthState::Degraded, reason);
        };
        let share = tightest.share().unwrap_or_default();
        if share <= threshold {
            return health;
        }
        let (used, source) = (share * 100.0, tightest.source());
        let limit = threshold * 100.0;
        let message =
            format!("{used:.1} % of the memory limit `{source}` is used, more than {limit:.0} %");
        let help = "the caches give room as far as it is theirs: give this process more memory, or \
                    look for who else uses it";
        let reason = Reason::new("memory-tight", message).with_help(help);
        health.but(HealthState::Degraded, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::MemoryLimit;

    #[test]
    fn memory_is_degraded_where_it_is_tight_or_not_known() {
        let health = |limits| Pressure::new(limits, None).health(0.80);
        let of = |used| vec![MemoryLimit::new("machine", used, 1000)];
        assert_eq!(health(of(800)).state, HealthState::Healthy);
        let tight = health(of(801));
        assert_eq!(tight.state, HealthState::Degraded);
        assert_eq!(
            tight.reasons[0].message,
            "80.1 % of the memory limit `machine` is used, more than 80 %"
        );
        let unknown = health(vec![MemoryLimit::unknown("machine")]);
        assert_eq!(unknown.state, HealthState::Degraded);
        assert_eq!(unknown.reasons[0].code, "memory-unknown");
    }
}
