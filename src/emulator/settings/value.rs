//! The text forms of settings' values.

use std::time::Duration;

/// Reads a number of bytes: `5242880`, `10MB` (10^6) or `10MiB` (2^20).
///
/// `10M` is refused: decimal or binary is the classic confusion with this API.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("", 1),
    ];
    for (unit, bytes) in UNITS {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.trim_end().parse::<u64>()
        {
            let size = number.checked_mul(bytes);
            return size.ok_or_else(|| format!("{text} is more than fits"));
        }
    }
    Err(format!("`{text}` is no size: write bytes, 10MB or 10MiB"))
}

/// Reads a duration: `250ms`, `90s`, `15m`, `24h`, `180d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    for (unit, millis) in UNITS {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.parse::<u64>()
            && let Some(millis) = number.checked_mul(millis)
        {
            return Ok(Duration::from_millis(millis));
        }
    }
    Err(format!(
        "`{text}` is no duration: write 250ms, 90s, 15m, 24h or 180d"
    ))
}

/// Largest values of settings; far beyond those of the service.
const MOST_COUNT: u64 = 1_000_000;
const MOST_FEW: u64 = 100;
const MOST_SIZE: u64 = 1_000_000_000_000;
const MOST_TIME: Duration = Duration::from_secs(3650 * 24 * 3600);
const MOST_TEXT: usize = 1000;

fn count(text: &str, most: u64) -> Result<u64, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| format!("`{text}` is no whole number"))?;
    match number <= most {
        true => Ok(number),
        false => Err(format!("{text} is more than {most}")),
    }
}

fn bounded_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        size if size > MOST_SIZE => Err(format!("{text} is more than 1000GB")),
        size => Ok(size),
    }
}

fn bounded_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time > MOST_TIME => Err(format!("{text} is more than 3650d")),
        time => Ok(time),
    }
}

/// Writes a duration in the largest unit that divides it.
pub(crate) fn print_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0 => "0s".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

/// A text form for values of `T`; `shown` lists the possible texts.
pub(crate) trait Codec<T> {
    fn read(text: &str) -> Result<T, String>;
    fn write(value: &T) -> String;
    fn shown(literal: &'static str) -> String {
        literal.to_owned()
    }
}

/// A closed list of words; the first is the default.
pub(crate) trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

pub(crate) struct Choice;
pub(crate) struct Size;
pub(crate) struct Count;
pub(crate) struct Few;
pub(crate) struct Time;
pub(crate) struct Forever;
pub(crate) struct NoneOr;
pub(crate) struct SizeOrOff;
pub(crate) struct TimeOrNone;
pub(crate) struct Flag;
pub(crate) struct Scale;

impl<T: Words> Codec<T> for Choice {
    fn read(text: &str) -> Result<T, String> {
        let found = T::WORDS.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("`{text}` is not one of {}", <Self as Codec<T>>::shown("")))
    }

    fn write(value: &T) -> String {
        let found = T::WORDS.iter().find(|(_, known)| known == value);
        found.map_or("", |(word, _)| word).to_owned()
    }

    fn shown(_: &'static str) -> String {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        words.join(", ")
    }
}

impl Codec<u64> for Size {
    fn read(text: &str) -> Result<u64, String> {
        bounded_size(text)
    }

    fn write(value: &u64) -> String {
        value.to_string()
    }
}

impl Codec<u64> for Count {
    fn read(text: &str) -> Result<u64, String> {
        count(text, MOST_COUNT)
    }

    fn write(value: &u64) -> String {
        value.to_string()
    }
}

impl Codec<u64> for Few {
    fn read(text: &str) -> Result<u64, String> {
        count(text, MOST_FEW)
    }

    fn write(value: &u64) -> String {
        value.to_string()
    }
}

impl Codec<Duration> for Time {
    fn read(text: &str) -> Result<Duration, String> {
        bounded_duration(text)
    }

    fn write(value: &Duration) -> String {
        print_duration(*value)
    }
}

/// `None` has a word of its own, such as `forever` or `off`.
fn optional<T>(
    word: &str,
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match text {
        text if text == word => Ok(None),
        text => read(text).map(Some),
    }
}

impl Codec<Option<Duration>> for Forever {
    fn read(text: &str) -> Result<Option<Duration>, String> {
        optional("forever", text, bounded_duration)
    }

    fn write(value: &Option<Duration>) -> String {
        value.map_or_else(|| "forever".to_owned(), print_duration)
    }
}

impl Codec<Option<Duration>> for TimeOrNone {
    fn read(text: &str) -> Result<Option<Duration>, String> {
        optional("none", text, bounded_duration)
    }

    fn write(value: &Option<Duration>) -> String {
        value.map_or_else(|| "none".to_owned(), print_duration)
    }
}

impl Codec<Option<u64>> for SizeOrOff {
    fn read(text: &str) -> Result<Option<u64>, String> {
        match optional("off", text, bounded_size)? {
            Some(0) => Err("a rate of 0 bytes a second never ends; write off".to_owned()),
            rate => Ok(rate),
        }
    }

    fn write(value: &Option<u64>) -> String {
        value.map_or_else(|| "off".to_owned(), |rate| rate.to_string())
    }
}

impl Codec<Option<String>> for NoneOr {
    fn read(text: &str) -> Result<Option<String>, String> {
        optional("none", text, |text| match text {
            "" => Err("an empty text; write none".to_owned()),
            text if text.len() > MOST_TEXT => Err(format!("longer than {MOST_TEXT} bytes")),
            text => Ok(text.to_owned()),
        })
    }

    fn write(value: &Option<String>) -> String {
        value.clone().unwrap_or_else(|| "none".to_owned())
    }
}

impl Codec<bool> for Flag {
    fn read(text: &str) -> Result<bool, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            text => Err(format!("`{text}` is neither true nor false")),
        }
    }

    fn write(value: &bool) -> String {
        value.to_string()
    }
}

impl Codec<f64> for Scale {
    fn read(text: &str) -> Result<f64, String> {
        let factor = match text {
            "real" => Some(1.0),
            text => text
                .strip_suffix('x')
                .and_then(|number| number.parse().ok()),
        };
        factor
            .filter(|factor: &f64| (0.001..=1_000_000.0).contains(factor))
            .ok_or_else(|| format!("`{text}` is no clock: write real, or 60x (0.001x to 1000000x)"))
    }

    fn write(value: &f64) -> String {
        match *value {
            1.0 => "real".to_owned(),
            factor => format!("{factor}x"),
        }
    }
}

/// Declares an enum and the words for its variants.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl crate::settings::value::Words for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }
    };
}
pub(crate) use choice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_m_is_never_taken_for_a_megabyte() {
        assert_eq!(size("10MB"), Ok(10_000_000));
        assert_eq!(size("10MiB"), Ok(10_485_760));
        assert_eq!(size("5242880"), Ok(5_242_880));
        for wrong in ["10M", "10mb", "MB", "-1", "1.5MB", "", "99999999999GB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_duration_without_a_unit_is_refused() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("180d"), Ok(Duration::from_secs(15_552_000)));
        for wrong in ["90", "s", "1.5h", "-1s", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
