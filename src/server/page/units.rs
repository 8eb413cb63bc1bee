//! Numbers as a person reads them, each with its unit.

/// `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `12.3 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// `12 ms`, `3.4 s`, `5 min`, `2.5 h`.
pub(super) fn millis(millis: u64) -> String {
    let ms = millis as f64;
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", ms / 1e3),
        60_000..3_600_000 => format!("{:.0} min", (ms / 6e4).floor()),
        _ => format!("{:.1} h", ms / 3.6e6),
    }
}

/// `12.3 %` of a share from 0 to 1.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `12.3` a second.
pub(super) fn rate(rate: f64) -> String {
    match rate < 10.0 {
        true => format!("{rate:.1}/s"),
        false => format!("{}/s", count(rate.round() as u64)),
    }
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut at = 0;
    while value >= step && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    match at {
        0 => format!("{value} {}", units[0]),
        _ => format!("{value:.1} {}", units[at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_unit() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(millis(999), "999 ms");
        assert_eq!(millis(1_500), "1.5 s");
        assert_eq!(millis(119_999), "1 min");
        assert_eq!(millis(5_400_000), "1.5 h");
        assert_eq!(percent(0.9), "90.0 %");
        assert_eq!(rate(1.25), "1.2/s");
        assert_eq!(rate(1234.0), "1,234/s");
    }
}
