//! `MemoryLimit`: something that bounds the memory of this process, and how much of it is used.

use crate::ratio::Ratio;

/// A bound on memory, as it is now: of the machine, of a container, or one that was set. What could
/// not be read is unknown, and unknown is not nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryLimit {
    source: String,
    used_bytes: Option<u64>,
    limit_bytes: Option<u64>,
    stalled: Option<f64>,
}

impl MemoryLimit {
    /// So many bytes are used of at most so many. `source` is what sets the limit, as people know it.
    pub fn new(source: impl Into<String>, used_bytes: u64, limit_bytes: u64) -> Self {
        MemoryLimit {
            source: source.into(),
            used_bytes: Some(used_bytes),
            limit_bytes: Some(limit_bytes),
            stalled: None,
        }
    }

    /// There is a limit, and what is used of it cannot be told.
    pub fn unknown(source: impl Into<String>) -> Self {
        MemoryLimit {
            source: source.into(),
            used_bytes: None,
            limit_bytes: None,
            stalled: None,
        }
    }

    /// Adds the share of the last ten seconds, 0.0 to 1.0, in which somebody under this limit waited
    /// for memory.
    #[must_use]
    pub fn stalled(mut self, share: Option<f64>) -> Self {
        self.stalled = share;
        self
    }

    /// What sets the limit.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The bytes in use; `None` if that is unknown.
    pub fn used_bytes(&self) -> Option<u64> {
        self.used_bytes
    }

    /// The most bytes; `None` if that is unknown.
    pub fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    /// The share of the last ten seconds in which somebody under this limit waited for memory, as
    /// the kernel counts its pressure stall information; `None` where it does not.
    pub fn stall_share(&self) -> Option<f64> {
        self.stalled
    }

    /// The used share, 0.0 and up; `None` if it is unknown. A limit of nothing is used up.
    pub fn share(&self) -> Option<f64> {
        match (self.used_bytes?, self.limit_bytes?) {
            (_, 0) => Some(1.0),
            (used, limit) => Some(used as f64 / limit as f64),
        }
    }

    /// Whether strictly more than this share is used; `None` if that is unknown.
    pub(crate) fn exceeds(&self, share: Ratio) -> Option<bool> {
        match (self.used_bytes?, self.limit_bytes?) {
            (_, 0) => Some(true),
            (used, limit) => Some(share.is_exceeded_by(used, limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_not_nothing() {
        let threshold = Ratio::percent(80);
        let unknown = MemoryLimit::unknown("machine");
        assert_eq!((unknown.share(), unknown.exceeds(threshold)), (None, None));
        let known = MemoryLimit::new("machine", 80, 100);
        assert_eq!(known.share(), Some(0.8));
        assert_eq!(known.exceeds(threshold), Some(false));
        let nothing = MemoryLimit::new("cgroup /", 0, 0);
        assert_eq!(nothing.share(), Some(1.0));
        assert_eq!(nothing.exceeds(threshold), Some(true));
    }
}
