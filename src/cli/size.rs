//! Sizes and rates as users type them.

use std::time::Duration;

use chunkferry::Escaped;

/// Bytes from `10MB` (10⁶), `10MiB` (2²⁰) or plain digits. `10M` is refused as ambiguous.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        unit @ ("k" | "K" | "M" | "G") => {
            return Err(format!(
                "{unit} can mean two sizes: write {number}{unit}B (1000-based) or {number}{unit}iB (1024-based)"
            ));
        }
        unit => {
            let unit = Escaped::new(unit);
            return Err(format!(
                "{unit} is no unit of size: use MB, MiB or plain bytes"
            ));
        }
    };
    let bytes = match number.split_once('.') {
        None => number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor)),
        Some(_) if factor == 1 => None,
        Some(_) => number
            .parse::<f64>()
            .ok()
            .map(|number| (number * factor as f64) as u64),
    };
    bytes.ok_or_else(|| {
        let text = Escaped::new(text);
        format!("{text} is not a size: write it like 10MB, 10MiB or 10000000")
    })
}

/// Parses a rate in bytes a second; a rate of a few bytes is refused.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let text = text.trim().trim_end_matches("/s");
    match bytes(text)? {
        0..1_000 => Err("an upload has one hour, so a rate is at least 1kB a second".into()),
        rate => Ok(rate),
    }
}

/// A time as users type it: `90s`, `5m`, `6h`, `2d`, or plain seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| !c.is_ascii_digit()).len());
    let unit: Option<u64> = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    let seconds = number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit));
    // Longer ones are beyond what clocks can add.
    let seconds = seconds.filter(|seconds| *seconds <= 10 * 365 * 86_400);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let text = Escaped::new(text);
        format!("{text} is not a time: write it like 90s, 5m, 6h or 2d")
    })
}

/// A rate in a form that [`rate`] parses.
pub(super) fn typed(rate: u64) -> String {
    match rate {
        _ if rate.is_multiple_of(1_000_000) => format!("{}MB", rate / 1_000_000),
        _ if rate.is_multiple_of(1_000) => format!("{}KB", rate / 1_000),
        _ => rate.to_string(),
    }
}

/// Bytes as text: `12.3 MB`.
pub(super) fn humane(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_meanings_of_m_are_kept_apart() {
        let rows = [
            ("10MB", Ok(10_000_000)),
            ("10 MiB", Ok(10_485_760)),
            ("10485760", Ok(10_485_760)),
            ("1.5GB", Ok(1_500_000_000)),
            ("64KiB", Ok(65_536)),
            ("10M", Err(())),
            ("10m", Err(())),
            ("1.5", Err(())),
            ("", Err(())),
            ("MB", Err(())),
            ("-1MB", Err(())),
            ("99999999999GB", Err(())),
        ];
        for (text, expected) in rows {
            assert_eq!(bytes(text).map_err(|_| ()), expected, "{text}");
        }
        assert!(
            bytes("10M")
                .is_err_and(|message| message.contains("10MB") && message.contains("10MiB"))
        );
        assert_eq!(rate("30MB/s"), Ok(30_000_000));
        for slow in ["0", "1B", "999"] {
            assert!(rate(slow).is_err(), "{slow}");
        }
        for rate in [1_000, 1_300, 14_000, 2_000_000, 2_500_000] {
            assert_eq!(super::rate(&typed(rate)), Ok(rate));
        }
    }
}
