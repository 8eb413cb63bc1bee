//! `Ratio`: a share of a whole, in ten thousandths, so that "above 0.80" and "20 % of 35" are whole
//! numbers and never a matter of rounding.

use std::fmt;

const WHOLE: u32 = 10_000;

/// A share from 0.0 to 1.0, exact to four decimal places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ratio(u32);

impl Ratio {
    /// So many hundredths, at most 100.
    pub(crate) const fn percent(percent: u32) -> Self {
        assert!(percent <= 100, "a share is no more than the whole");
        Ratio(percent * (WHOLE / 100))
    }

    /// The share nearest to this number; `None` if it is none from 0.0 to 1.0.
    pub(crate) fn new(share: f64) -> Option<Self> {
        (0.0..=1.0)
            .contains(&share)
            .then(|| Ratio((share * f64::from(WHOLE)).round() as u32))
    }

    pub(crate) fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// This share less another; nothing if that is larger.
    pub(crate) fn less(self, other: Ratio) -> Self {
        Ratio(self.0.saturating_sub(other.0))
    }

    /// This share of a number, rounded up.
    pub(crate) fn of(self, whole: u64) -> u64 {
        let share = (u128::from(whole) * u128::from(self.0)).div_ceil(u128::from(WHOLE));
        // No more than the whole.
        share as u64
    }

    /// Whether `part` is strictly more than this share of `whole`.
    pub(crate) fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * u128::from(WHOLE) > u128::from(whole) * u128::from(self.0)
    }
}

/// With two decimal places, or as many as it takes.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_multiple_of(100) {
            true => write!(f, "{:.2}", self.as_f64()),
            false => write!(f, "{}", self.as_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_number_is_rounded_up_and_never_by_a_bit_too_much() {
        let fifth = Ratio::percent(20);
        // As a floating-point product, 35 * 0.2 is above 7.
        for (whole, share) in [(0, 0), (1, 1), (4, 1), (5, 1), (6, 2), (35, 7), (1000, 200)] {
            assert_eq!(fifth.of(whole), share, "{whole}");
        }
        assert_eq!(Ratio::percent(100).of(u64::MAX), u64::MAX);
        assert_eq!(Ratio::percent(0).of(7), 0);
    }

    #[test]
    fn above_is_strictly_above() {
        let limit = Ratio::percent(80);
        assert!(!limit.is_exceeded_by(80, 100));
        assert!(!limit.is_exceeded_by(8_000_000_000_000_000, 10_000_000_000_000_000));
        assert!(limit.is_exceeded_by(8_000_000_000_000_001, 10_000_000_000_000_000));
        assert!(limit.is_exceeded_by(1, 0) && !limit.is_exceeded_by(0, 0));
    }

    #[test]
    fn a_number_is_a_share_from_zero_to_one() {
        assert_eq!(Ratio::new(0.8), Some(Ratio::percent(80)));
        assert_eq!(Ratio::new(0.8125).unwrap().to_string(), "0.8125");
        assert_eq!(Ratio::new(0.5).unwrap().to_string(), "0.50");
        assert_eq!(Ratio::new(1.0), Some(Ratio::percent(100)));
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Ratio::new(wrong), None);
        }
        assert_eq!(
            Ratio::percent(80).less(Ratio::percent(5)),
            Ratio::percent(75)
        );
    }
}
