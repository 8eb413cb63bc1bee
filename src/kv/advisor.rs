//! Which strategy suits a cache: a fixed list of rules over how it is used.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

/// What readers may see after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// What was written last.
    Strong,
    /// For a while, what was there before.
    Eventual,
}

impl FromStr for Consistency {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "strong" => Ok(Consistency::Strong),
            "eventual" => Ok(Consistency::Eventual),
            _ => {
                let message = format!("`{text}` is no consistency");
                Err(Error::new(ErrorKind::InvalidInput, message)
                    .with_help("give `strong` or `eventual`"))
            }
        }
    }
}

/// How a cache is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    /// Reads to each write, 0.0 or more; infinite without writes.
    pub read_write_ratio: f64,
    /// What readers may see after a write.
    pub consistency: Consistency,
    /// Whether it is known beforehand what will be asked for often.
    pub is_predictably_hot: bool,
}

impl Workload {
    /// The workload of so many reads and writes.
    ///
    /// # Errors
    /// `InvalidInput` if there were neither: then it is unknown.
    pub fn counted(
        reads: u64,
        writes: u64,
        consistency: Consistency,
        is_predictably_hot: bool,
    ) -> Result<Self> {
        if reads == 0 && writes == 0 {
            let message = "the ratio of reads to writes is unknown: there were neither";
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_help("ask again when the cache was used for a while"));
        }
        Ok(Workload {
            read_write_ratio: reads as f64 / writes as f64,
            consistency,
            is_predictably_hot,
        })
    }
}

/// A strategy, or two that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Advice {
    /// The host looks, loads and puts itself.
    CacheAside,
    /// The cache loads what it misses.
    ReadThrough,
    /// The cache writes to the source before it changes.
    WriteThrough,
    /// The cache acknowledges a write that is in its journal, and the source has it later.
    WriteBehind,
    /// The cache loads again before the end what is asked for often.
    RefreshAhead,
    /// The cache loads what it misses, and writes to the source before it changes.
    ReadThroughWithWriteThrough,
}

impl Advice {
    /// What suits a workload: the first of the rules that fits.
    ///
    /// # Errors
    /// `InvalidInput` for a ratio that is negative or not a number.
    pub fn for_workload(workload: Workload) -> Result<Self> {
        use Consistency::{Eventual, Strong};
        let ratio = workload.read_write_ratio;
        if ratio.is_nan() || ratio < 0.0 {
            let message = format!("the ratio of reads to writes is {ratio}");
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_help("give 0.0 or more: reads to each write"));
        }
        Ok(match workload.consistency {
            Eventual if ratio > 10.0 => Advice::CacheAside,
            Strong if ratio > 5.0 => Advice::ReadThrough,
            Strong if ratio < 2.0 => Advice::WriteThrough,
            Eventual if ratio < 2.0 => Advice::WriteBehind,
            _ if workload.is_predictably_hot => Advice::RefreshAhead,
            Strong => Advice::ReadThroughWithWriteThrough,
            Eventual => Advice::CacheAside,
        })
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Advice::CacheAside => "cache-aside",
            Advice::ReadThrough => "read-through",
            Advice::WriteThrough => "write-through",
            Advice::WriteBehind => "write-behind",
            Advice::RefreshAhead => "refresh-ahead",
            Advice::ReadThroughWithWriteThrough => "read-through with write-through",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Consistency::{Eventual, Strong};
    use super::*;

    fn advice(ratio: f64, consistency: Consistency, hot: bool) -> Advice {
        Advice::for_workload(Workload {
            read_write_ratio: ratio,
            consistency,
            is_predictably_hot: hot,
        })
        .unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_its_bounds_are_strict() {
        for hot in [false, true] {
            for ratio in [10.1, 100.0, f64::INFINITY] {
                assert_eq!(advice(ratio, Eventual, hot), Advice::CacheAside);
            }
            for ratio in [5.1, 10.0, f64::INFINITY] {
                assert_eq!(advice(ratio, Strong, hot), Advice::ReadThrough);
            }
            for ratio in [0.0, -0.0, 1.9] {
                assert_eq!(advice(ratio, Strong, hot), Advice::WriteThrough);
                assert_eq!(advice(ratio, Eventual, hot), Advice::WriteBehind);
            }
        }
        for ratio in [2.0, 3.0, 5.0] {
            assert_eq!(advice(ratio, Strong, true), Advice::RefreshAhead);
            assert_eq!(
                advice(ratio, Strong, false),
                Advice::ReadThroughWithWriteThrough
            );
        }
        for ratio in [2.0, 7.0, 10.0] {
            assert_eq!(advice(ratio, Eventual, true), Advice::RefreshAhead);
            assert_eq!(advice(ratio, Eventual, false), Advice::CacheAside);
        }
    }

    #[test]
    fn what_is_not_a_number_negative_or_unknown_is_an_error() {
        for ratio in [f64::NAN, -0.1, f64::NEG_INFINITY] {
            let error = Advice::for_workload(Workload {
                read_write_ratio: ratio,
                consistency: Strong,
                is_predictably_hot: false,
            });
            assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert!(Workload::counted(0, 0, Strong, false).is_err());
        let reads_alone = Workload::counted(1, 0, Strong, false).unwrap();
        assert_eq!(reads_alone.read_write_ratio, f64::INFINITY);
        assert_eq!("strong".parse::<Consistency>().unwrap(), Strong);
        let error = "loose".parse::<Consistency>().unwrap_err();
        assert_eq!(error.to_string(), "`loose` is no consistency");
    }
}
