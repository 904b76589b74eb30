//! `--bwlimit`: one rate, or a timetable of rates by the local time of the day.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use chunkferry::{Engine, Escaped, Options};
use jiff::Zoned;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::callback::clock_scale;
use super::size::{humane, rate};

/// The entries in the order of the day, one at least. One rate is an entry that holds all day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bandwidth(Vec<Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    from: Time,
    /// Bytes a second; `None` without a limit.
    rate: Option<u64>,
}

/// `30MB`, `off`, or a timetable such as `08:00,2MB 22:00,off`.
pub(super) fn bandwidth(text: &str) -> Result<Bandwidth, String> {
    if !text.contains(',') {
        let from = Time::midnight();
        return Ok(Bandwidth(vec![Entry {
            from,
            rate: limit(text.trim())?,
        }]));
    }
    let entries = text.split_whitespace().map(|entry| {
        Entry::parse(entry).map_err(|why| format!("\"{}\": {why}", Escaped::new(entry)))
    });
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.from);
    match entries.windows(2).find(|pair| pair[0].from == pair[1].from) {
        Some(pair) => Err(format!(
            "{} is there twice: each time of the day has one rate",
            clock(pair[0].from)
        )),
        None => Ok(Bandwidth(entries)),
    }
}

fn limit(text: &str) -> Result<Option<u64>, String> {
    match text {
        "off" => Ok(None),
        text => rate(text).map(Some),
    }
}

fn clock(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

impl Entry {
    fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "an entry is a time of the day and a rate, such as 08:00,2MB or 22:00,off";
        let (time, rate) = text.split_once(',').ok_or(FORM)?;
        let (hour, minute) = time.split_once(':').ok_or(FORM)?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i8>()
                .ok()
                .filter(|_| digits && text.len() <= 2)
        };
        let time = number(hour).zip(number(minute).filter(|_| minute.len() == 2));
        let time = time.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
        Ok(Self {
            from: time.ok_or("there is no such time of the day: it is 00:00 to 23:59")?,
            rate: limit(rate)?,
        })
    }
}

impl Bandwidth {
    /// The entry that holds while the local clock shows this time, and the one after it. Before the first entry of a day, the last one
    /// of the day before holds.
    fn at(&self, time: Time) -> (Entry, Entry) {
        let entries = &self.0;
        let begun = entries.partition_point(|entry| entry.from <= time);
        let holds = begun.checked_sub(1).unwrap_or(entries.len() - 1);
        (entries[holds], entries[begun % entries.len()])
    }

    /// Bytes a second that hold now; `None` without a limit.
    pub(super) fn now(&self) -> Option<u64> {
        self.at(now().time()).0.rate
    }

    /// Options that begin with the rate that holds now.
    pub(super) fn set(&self, options: Options) -> Options {
        match self.now() {
            Some(rate) => options.bandwidth(rate),
            None => options,
        }
    }

    /// For people: the rate of now, and until when it holds, if it ever changes.
    pub(super) fn remark(&self) -> Option<String> {
        if self.is_fixed() {
            return None;
        }
        let unknown = match TimeZone::try_system() {
            Ok(_) => "",
            Err(_) => "; the time zone of this machine is not known",
        };
        let now = now();
        let (holds, next) = self.at(now.time());
        Some(format!(
            "--bwlimit: {} until {} (local time, {}{unknown}).",
            shown(holds.rate),
            clock(next.from),
            now.strftime("UTC%:z")
        ))
    }

    fn is_fixed(&self) -> bool {
        self.0.iter().all(|entry| entry.rate == self.0[0].rate)
    }

    /// Awaits `work`, and holds the engine to the timetable meanwhile.
    pub(super) async fn during<T>(
        limit: Option<&Self>,
        engine: &Engine,
        work: impl Future<Output = T>,
    ) -> T {
        match limit.filter(|limit| !limit.is_fixed()) {
            Some(limit) => tokio::select! {
                done = work => done,
                never = limit.keep(engine) => match never {},
            },
            None => work.await,
        }
    }

    /// Looks at the local clock at each full minute: it may be set, and the zone may have its own times in summer.
    async fn keep(&self, engine: &Engine) -> Infallible {
        let mut holds = None;
        loop {
            let (now, rate) = (now(), self.now());
            if holds != Some(rate) {
                // Rates are checked when they are parsed.
                match engine.set_bandwidth(rate) {
                    Ok(()) => tracing::info!(rate = shown(rate), "the limit of the rate"),
                    Err(error) => tracing::error!(%error, "the limit of the rate cannot be set"),
                }
                holds = Some(rate);
            }
            let left = Duration::from_secs(60 - now.second().unsigned_abs().min(59) as u64);
            tokio::time::sleep(left / clock_scale()).await;
        }
    }
}

fn shown(rate: Option<u64>) -> String {
    rate.map_or_else(
        || "no limit".to_owned(),
        |rate| format!("{} a second", humane(rate)),
    )
}

/// The local time, which a test may hurry. Without a known zone it is UTC.
fn now() -> Zoned {
    static START: std::sync::OnceLock<(Zoned, Instant)> = std::sync::OnceLock::new();
    if clock_scale() == 1 {
        return Zoned::now();
    }
    let (start, since) = START.get_or_init(|| (Zoned::now(), Instant::now()));
    let passed = since.elapsed() * clock_scale();
    start.checked_add(passed).unwrap_or_else(|_| Zoned::now())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const MB: u64 = 1_000_000;

    fn at(limit: &Bandwidth, time: &str) -> Option<u64> {
        limit.at(time.parse().expect("a time")).0.rate
    }

    #[test]
    fn an_entry_holds_until_the_next_one_and_the_last_one_over_midnight() {
        let limit = bandwidth(" 22:00,off  8:00,2MB 12:30,500KB/s ").expect("a timetable");
        for (time, rate) in [
            ("00:00", None),
            ("07:59:59.999", None),
            ("08:00", Some(2 * MB)),
            ("12:29:59", Some(2 * MB)),
            ("12:30", Some(MB / 2)),
            ("21:59:59", Some(MB / 2)),
            ("22:00", None),
            ("23:59:59", None),
        ] {
            assert_eq!(at(&limit, time), rate, "{time}");
        }
        let (_, next) = limit.at("23:00".parse().expect("a time"));
        assert_eq!(clock(next.from), "08:00");
        let one = bandwidth("06:00,1MB").expect("a timetable");
        assert_eq!(at(&one, "03:00"), Some(MB));
        assert!(one.is_fixed() && !limit.is_fixed());
        assert_eq!(
            at(&bandwidth("30MB").expect("a rate"), "03:00"),
            Some(30 * MB)
        );
        assert_eq!(at(&bandwidth("off").expect("a rate"), "03:00"), None);
    }

    #[test]
    fn what_is_wrong_in_a_timetable_is_named_with_its_entry() {
        for (text, entry) in [
            ("08:00,2MB 24:00,off", "24:00,off"),
            ("08:00,2MB 12:60,off", "12:60,off"),
            ("08:00,2MB 12:5,off", "12:5,off"),
            ("08:00,2MB 1200,off", "1200,off"),
            ("08:00,2MB -1:00,off", "-1:00,off"),
            ("08:00,2MB Mon-12:00,off", "Mon-12:00,off"),
            ("08:00,2MB 12:00", "12:00"),
            ("08:00,2M 12:00,off", "08:00,2M"),
            ("08:00,2MB 12:00,999", "12:00,999"),
            ("08:00,2MB 12:00,on", "12:00,on"),
            ("08:00,2MB 12:00,", "12:00,"),
            ("08:00, 2MB", "08:00,"),
            ("08:00,2MB,22:00,off", "08:00,2MB,22:00,off"),
        ] {
            let error = bandwidth(text).expect_err(text);
            assert!(
                error.starts_with(&format!("\"{entry}\": ")),
                "{text}: {error}"
            );
        }
        let error = bandwidth("8:00,2MB 08:00,off").expect_err("twice");
        assert!(error.contains("08:00 is there twice"), "{error}");
        for text in ["", "on", "10M", "999", ","] {
            assert!(bandwidth(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_clock_that_people_see_decides_when_it_is_set_for_summer() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let limit = bandwidth("00:00,off 02:30,1MB 03:15,2MB").expect("a timetable");
        let at = |utc: &str| {
            let utc: Timestamp = utc.parse().expect("a time");
            limit.at(utc.to_zoned(zone.clone()).time()).0.rate
        };
        // 02:00 is 03:00: what begins at 02:30 begins then, and gives way at 03:15.
        assert_eq!(at("2026-03-29T00:59:59Z"), None);
        assert_eq!(at("2026-03-29T01:00:00Z"), Some(MB));
        assert_eq!(at("2026-03-29T01:15:00Z"), Some(2 * MB));
        // The hour from 02:00 on comes twice.
        for (utc, rate) in [
            ("2026-10-25T00:29:59Z", None),
            ("2026-10-25T00:30:00Z", Some(MB)),
            ("2026-10-25T01:00:00Z", None),
            ("2026-10-25T01:30:00Z", Some(MB)),
            ("2026-10-25T02:15:00Z", Some(2 * MB)),
        ] {
            assert_eq!(at(utc), rate, "{utc}");
        }
    }
}
