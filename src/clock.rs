//! Time as a value: pure code gets the time as an argument.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Wall-clock time in milliseconds since 1970, as the journal stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Timestamp(pub(crate) u64);

impl Timestamp {
    pub(crate) const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_millis() as u64))
    }

    /// Time from `earlier` to this time; zero if `earlier` is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(timestamp.0)
    }
}

impl From<SystemTime> for Timestamp {
    /// A time before 1970 is the start of 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A time by RFC 3339, in UTC and to the microsecond: `2026-11-26T16:17:14.000250Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years begin in March here, so that a leap day is the last day of its year; 400 years have 146,097 days.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_micros()
    )
}

/// The time by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Valid across restarts; may be set by hand, or by the network soon after a start.
    pub(crate) wall: Timestamp,
    /// Goes on through suspend; valid only for this boot.
    pub(crate) boot: Duration,
    /// The boot of `boot`.
    pub(crate) boot_id: BootId,
}

/// Identifies one boot of one machine. On systems without an id for it, each process counts as a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct BootId(pub(crate) u64);

impl BootId {
    fn read() -> Self {
        static OF: LazyLock<BootId> = LazyLock::new(|| {
            let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
            let digits = text.unwrap_or_default().replace('-', "");
            let id = digits
                .get(..16)
                .and_then(|digits| u64::from_str_radix(digits, 16).ok());
            BootId(id.unwrap_or_else(|| fastrand::u64(..)))
        });
        *OF
    }
}

/// A moment on the clock that counts from boot, as the journal stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Booted {
    of: BootId,
    at: Duration,
}

impl Booted {
    /// Time from this moment to `now`; `None` in another boot, or if the clock was set back (a container may have its
    /// own).
    pub(crate) fn age(self, now: Now) -> Option<Duration> {
        let age = now.boot.checked_sub(self.at)?;
        (self.of == now.boot_id).then_some(age)
    }
}

impl Now {
    pub(crate) fn read() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            wall: Timestamp((wall * clock_scale()).as_millis() as u64),
            boot: since_boot() * clock_scale(),
            boot_id: BootId::read(),
        }
    }

    pub(crate) const fn booted(self) -> Booted {
        Booted {
            of: self.boot_id,
            at: self.boot,
        }
    }
}

/// The clock of a store: this machine's, unless a test sets it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoreClock {
    #[cfg(test)]
    set: std::sync::Arc<std::sync::Mutex<Option<Now>>>,
}

impl StoreClock {
    pub(crate) fn now(&self) -> Now {
        #[cfg(test)]
        if let Some(now) = *self.set.lock().expect("no test panicked here") {
            return now;
        }
        Now::read()
    }

    /// Stops the clock at this wall-clock time, or moves it there.
    #[cfg(test)]
    pub(crate) fn set(&self, wall: Timestamp) {
        let mut set = self.set.lock().expect("no test panicked here");
        let now = set.unwrap_or_else(Now::read);
        let boot = now.boot + wall.since(now.wall);
        *set = Some(Now { wall, boot, ..now });
    }

    /// Stops the clock, if it runs, and moves it forward.
    #[cfg(test)]
    pub(crate) fn advance(&self, by: Duration) {
        self.set(self.now().wall.plus(by));
    }
}

/// Waits on the scaled clock.
pub(crate) async fn sleep(wait: Duration) {
    tokio::time::sleep(real(wait)).await;
}

/// Time since `start` on the scaled clock, without suspend.
pub(crate) fn since(start: Instant) -> Duration {
    start.elapsed() * clock_scale()
}

/// The real duration of a time on the scaled clock.
pub(crate) fn real(time: Duration) -> Duration {
    time / clock_scale()
}

/// How many times faster than real the clock runs: for tests of long waits, only in builds with debug assertions. Waits
/// for a socket are not scaled.
fn clock_scale() -> u32 {
    #[cfg(debug_assertions)]
    {
        static SCALE: LazyLock<u32> = LazyLock::new(|| {
            let set = std::env::var("CHUNKFERRY_CLOCK_SCALE").ok();
            set.and_then(|times| times.parse().ok()).unwrap_or(1).max(1)
        });
        *SCALE
    }
    #[cfg(not(debug_assertions))]
    1
}

/// Time since the machine started, with suspend, where the system has such a clock. For waits that the clock scale must
/// not shorten.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn since_boot() -> Duration {
    #[cfg(target_vendor = "apple")]
    let clock = rustix::time::ClockId::Monotonic;
    #[cfg(not(target_vendor = "apple"))]
    let clock = rustix::time::ClockId::Boottime;
    let time = rustix::time::clock_gettime(clock);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn since_boot() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_its_leap_days_and_its_microseconds() {
        for (seconds, micros, text) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, 999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000Z"),
            (1_709_210_096, 7, "2024-02-29T12:34:56.000007Z"),
            (1_709_251_200, 0, "2024-03-01T00:00:00.000000Z"),
            (1_798_761_599, 0, "2026-12-31T23:59:59.000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
        ] {
            let time = Duration::from_secs(seconds) + Duration::from_micros(micros);
            assert_eq!(rfc3339(UNIX_EPOCH + time), text);
        }
    }
}
