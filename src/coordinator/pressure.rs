//! How tight memory is: the limits above this process and the one on its own caches, measured
//! together.

use crate::machine::{MemoryLimit, SystemMemory};
use crate::ratio::Ratio;

/// The source of the limit on the caches' own bytes.
const OWN: &str = "caches";

/// Where a coordinator reads the limits on memory that others set: the machine, the container.
pub trait PressureGauge: Send + Sync {
    /// Every limit that is known to exist, as it is now. One that cannot be read is in the list as
    /// unknown. An empty list says that nothing is known.
    fn limits(&self) -> Vec<MemoryLimit>;
}

impl PressureGauge for SystemMemory {
    fn limits(&self) -> Vec<MemoryLimit> {
        SystemMemory::limits(self)
    }
}

/// How tight memory was at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Pressure {
    /// The limits from outside, as the gauge tells them.
    pub limits: Vec<MemoryLimit>,
    /// What the caches weigh together, of what they may; `None` if no such limit is set.
    pub own: Option<MemoryLimit>,
}

impl Pressure {
    /// `own` is what the caches weigh, and may.
    pub(super) fn new(limits: Vec<MemoryLimit>, own: Option<(u64, u64)>) -> Self {
        let own = own.map(|(used, limit)| MemoryLimit::new(OWN, used, limit));
        Pressure { limits, own }
    }

    /// The limit of which the largest share is used, among those that are known.
    pub fn tightest(&self) -> Option<&MemoryLimit> {
        let shares = self.all().filter_map(|limit| Some((limit.share()?, limit)));
        let (_, tightest) = shares.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        Some(tightest)
    }

    /// The used share of the tightest limit; `None` if no limit is known: which is not 0.
    pub fn share(&self) -> Option<f64> {
        self.tightest()?.share()
    }

    /// Every limit, the caches' own last.
    pub fn all(&self) -> impl Iterator<Item = &MemoryLimit> {
        self.limits.iter().chain(&self.own)
    }

    /// Whether more than this share of some limit is known to be used.
    pub(super) fn exceeds(&self, share: Ratio) -> bool {
        self.all().any(|limit| limit.exceeds(share) == Some(true))
    }

    /// Whether the caches' own limit is one of those that are used so far.
    pub(super) fn is_own(&self, share: Ratio) -> bool {
        let own = self.own.as_ref().and_then(|limit| limit.exceeds(share));
        own == Some(true)
    }

    /// The same; for a limit that is unknown now, what was known of it before still stands.
    pub(super) fn or_before(mut self, before: &Pressure) -> Self {
        if self.limits.is_empty() {
            self.limits.clone_from(&before.limits);
        }
        for limit in &mut self.limits {
            let earlier = before
                .limits
                .iter()
                .find(|one| one.source() == limit.source());
            if let (None, Some(earlier)) = (limit.share(), earlier) {
                *limit = earlier.clone();
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_counts_and_the_unknown_is_left_out() {
        let machine = MemoryLimit::new("machine", 30, 100);
        let container = MemoryLimit::new("cgroup /a", 45, 50);
        let unknown = MemoryLimit::unknown("cgroup /");
        let pressure = Pressure::new(vec![unknown.clone(), machine, container], Some((1, 10)));
        assert_eq!(pressure.tightest().unwrap().source(), "cgroup /a");
        assert_eq!(pressure.share(), Some(0.9));
        assert!(!pressure.is_own(Ratio::percent(10)) && pressure.is_own(Ratio::percent(9)));
        let pressure = Pressure::new(vec![unknown], None);
        assert_eq!(pressure.share(), None);
        assert!(!pressure.exceeds(Ratio::percent(0)));
    }

    #[test]
    fn what_was_known_stands_until_something_else_is_known() {
        let before = Pressure::new(vec![MemoryLimit::new("machine", 90, 100)], None);
        for lost in [vec![], vec![MemoryLimit::unknown("machine")]] {
            let after = Pressure::new(lost, None).or_before(&before);
            assert_eq!(after.share(), Some(0.9));
        }
        let after = Pressure::new(vec![MemoryLimit::new("machine", 1, 100)], None);
        assert_eq!(after.or_before(&before).share(), Some(0.01));
    }
}
