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
    /// How memory does: degraded above this used share of a limit, and where a limit, or all of them, are unknown.
    pub fn health(&self, threshold: f64) -> Health {
        let unknown = self.doubts().into_iter().map(|doubt| {
            Reason::new("memory-unknown", doubt)
                .with_help("set coordinator.max_bytes: what the caches hold is always known")
        });
        let degraded = |health: Health, reason| health.but(HealthState::Degraded, reason);
        let health = unknown.fold(Health::healthy("memory"), degraded);
        let Some(tightest) = self.tightest() else {
            return health;
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
        degraded(health, reason)
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

    #[test]
    fn a_limit_that_cannot_be_read_is_named_beside_one_that_can() {
        let limits = |used| {
            let machine = MemoryLimit::new("machine", used, 1000);
            vec![machine, MemoryLimit::unknown("cgroup /a")]
        };
        let health = Pressure::new(limits(100), None).health(0.80);
        assert_eq!(health.state, HealthState::Degraded);
        assert_eq!(health.reasons[0].code, "memory-unknown");
        assert_eq!(
            health.reasons[0].message,
            "the memory limit `cgroup /a` cannot be read: caches give no room for it"
        );
        let tight = Pressure::new(limits(900), None).health(0.80);
        let codes = tight.reasons.iter().map(|reason| reason.code);
        assert_eq!(
            codes.collect::<Vec<_>>(),
            ["memory-unknown", "memory-tight"]
        );
    }
}
