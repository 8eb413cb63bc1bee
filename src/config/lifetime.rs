//! A lifetime as people write it.

use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::tier::Lifetime;

/// As it is written: `default`, `never`, or a duration with its unit.
impl FromStr for Lifetime {
    type Err = Error;

    /// # Errors
    /// `InvalidInput` for anything else, and for a duration of 0.
    fn from_str(text: &str) -> Result<Self> {
        let lifetime = match text {
            "default" => Lifetime::Default,
            "never" => Lifetime::Never,
            text => Lifetime::For(crate::units::parse_duration(text).map_err(|why| {
                let message = format!("the lifetime {text:?} {why}");
                let error = Error::new(ErrorKind::InvalidInput, message);
                error.with_help("give a duration such as 10m, default, or never")
            })?),
        };
        lifetime.resolve(Duration::MAX).map(|_| lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_a_unit_or_is_a_word() {
        let read = |text: &str| text.parse::<Lifetime>();
        assert_eq!(read("default").unwrap(), Lifetime::Default);
        assert_eq!(read("never").unwrap(), Lifetime::Never);
        let ten = Duration::from_secs(600);
        assert_eq!(read("10m").unwrap(), Lifetime::For(ten));
        for bad in ["", "10", "-1s", "0s", "forever"] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }
}
