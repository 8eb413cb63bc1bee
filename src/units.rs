//! Sizes and durations as people write them: a whole number with a unit, never a bare number.

use std::time::Duration;

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Every unit of a size.
#[cfg(feature = "cli")]
pub(crate) fn size_units() -> impl Iterator<Item = &'static str> {
    SIZES.iter().map(|(name, _)| *name)
}

/// Every unit of a duration.
#[cfg(feature = "cli")]
pub(crate) fn duration_units() -> impl Iterator<Item = &'static str> {
    DURATIONS.iter().map(|(name, _)| *name)
}

/// `64MiB` in bytes; the error says what is wrong with the text.
#[cfg(feature = "cli")]
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, SIZES, "a size such as 64MiB")
}

/// `300s` as a duration; the error says what is wrong with the text.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, DURATIONS, "a duration such as 5s").map(Duration::from_millis)
}

/// The size in the largest unit that is exact, a binary one unless a decimal one is much shorter: 500MB
/// are no whole number of binary units.
pub(crate) fn format_size(bytes: u64) -> String {
    let (binary, megabytes) = (&SIZES[..4], &SIZES[6..]);
    let text = format(bytes, binary);
    let decimal = bytes.is_multiple_of(1_000_000);
    let decimal = decimal.then(|| format(bytes, megabytes));
    decimal
        .filter(|decimal| decimal.len() + 2 < text.len())
        .unwrap_or(text)
}

/// The duration in the largest unit that is exact.
pub(crate) fn format_duration(duration: Duration) -> String {
    format(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        DURATIONS,
    )
}

fn parse(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let number: u64 = number
        .parse()
        .map_err(|_| format!("is not {example}: a whole number and a unit"))?;
    if unit.is_empty() {
        return Err(format!("has no unit; write {example}"));
    }
    let (_, factor) = units
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| {
            let known: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
            format!(
                "has the unknown unit `{unit}`; known are {}",
                known.join(", ")
            )
        })?;
    number
        .checked_mul(*factor)
        .ok_or_else(|| "is too large".to_owned())
}

fn format(value: u64, units: &[(&str, u64)]) -> String {
    let exact = |(_, factor): &&(&str, u64)| value != 0 && value.is_multiple_of(*factor);
    let (unit, factor) = units.iter().rev().find(exact).unwrap_or(&units[0]);
    format!("{}{unit}", value / factor)
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_required_and_known() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("1 kB"), Ok(1000));
        assert_eq!(parse_size("0B"), Ok(0));
        assert!(parse_size("64").unwrap_err().contains("no unit"));
        assert!(parse_size("64Mib").unwrap_err().contains("`Mib`"));
        assert!(parse_size("-1B").is_err());
        assert!(parse_size("").is_err());
        assert!(parse_size("MiB").is_err());
        assert!(parse_size("1.5MiB").is_err());
        assert!(
            parse_size("99999999999GiB")
                .unwrap_err()
                .contains("too large")
        );
        assert_eq!(parse_duration("300s"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("100ms"), Ok(Duration::from_millis(100)));
        assert!(parse_duration("5 sec").is_err());
    }

    #[test]
    fn the_largest_exact_unit_is_shown() {
        for text in [
            "0B", "1B", "1000B", "64MiB", "3GiB", "1025KiB", "500MB", "2GB",
        ] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
        for text in ["0ms", "1500ms", "5s", "2m", "1h"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }
}
