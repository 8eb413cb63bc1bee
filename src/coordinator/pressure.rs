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

    /// Whether at most this share of every limit is used, and all of them are known.
    pub(super) fn is_relieved(&self, share: Ratio) -> bool {
        let is_kept = |limit: &MemoryLimit| limit.exceeds(share) == Some(false);
        !self.limits.is_empty() && self.all().all(is_kept)
    }

    /// What is not known, in sentences: everything, or some of the limits, each by its source.
    pub(super) fn doubts(&self) -> Vec<String> {
        if self.share().is_none() {
            let nothing = "how much memory is used is not known: caches give no room by themselves";
            return vec![nothing.to_owned()];
        }
        let unknown = self.all().filter(|limit| limit.share().is_none());
        let doubt = |limit: &MemoryLimit| {
            let source = limit.source();
            format!("the memory limit `{source}` cannot be read: caches give no room for it")
        };
        unknown.map(doubt).collect()
    }

    /// Whether the caches' own limit is one of those that are used so far.
    pub(super) fn is_own(&self, share: Ratio) -> bool {
        let own = self.own.as_ref().and_then(|limit| limit.exceeds(share));
        own == Some(true)
    }

    /// The same; for a limit that is unknown now, what was known of it before still stands. So does
    /// that of one which is not there any more while anything is unknown: it may be part of that.
    pub(super) fn or_before(mut self, before: &Pressure) -> Self {
        let is_known = |limit: &MemoryLimit| limit.share().is_some();
        let is_whole = !self.limits.is_empty() && self.limits.iter().all(is_known);
        if is_whole {
            return self;
        }
        for earlier in before.limits.iter().filter(|earlier| is_known(earlier)) {
            let mut now = self.limits.iter_mut();
            match now.find(|limit| limit.source() == earlier.source()) {
                Some(limit) if !is_known(limit) => limit.clone_from(earlier),
                Some(_) => {}
                None => self.limits.push(earlier.clone()),
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

    #[test]
    fn a_limit_that_is_gone_stands_while_another_is_unknown() {
        let machine = |used| MemoryLimit::new("machine", used, 100);
        let group = MemoryLimit::new("cgroup /a", 90, 100);
        let before = Pressure::new(vec![machine(50), group], None);
        let groups_lost = vec![machine(40), MemoryLimit::unknown("cgroup")];
        let after = Pressure::new(groups_lost, None).or_before(&before);
        assert_eq!(after.tightest().unwrap().source(), "cgroup /a");
        let sources = after.all().map(MemoryLimit::source).collect::<Vec<_>>();
        assert_eq!(sources, ["machine", "cgroup", "cgroup /a"]);
        assert_eq!(after.all().next().unwrap().share(), Some(0.4));
        // Without a group, and all of it known, there is no limit any more.
        let after = Pressure::new(vec![machine(40)], None).or_before(&after);
        assert_eq!(after.share(), Some(0.4));
    }

    #[test]
    fn only_what_is_known_is_relief() {
        let (at, below) = (Ratio::percent(80), MemoryLimit::new("machine", 80, 100));
        let unknown = MemoryLimit::unknown("cgroup");
        let relieved = |limits| Pressure::new(limits, None).is_relieved(at);
        assert!(relieved(vec![below.clone()]));
        assert!(!relieved(vec![below, unknown]));
        assert!(!relieved(vec![MemoryLimit::new("machine", 81, 100)]));
        assert!(!relieved(Vec::new()));
    }
}
