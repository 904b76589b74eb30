//! Time as a value: the pure parts are told what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in wall-clock time, in milliseconds since 1970, as it stands in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Timestamp(pub(crate) u64);

impl Timestamp {
    pub(crate) const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_millis() as u64))
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(timestamp.0)
    }
}

/// What time it is, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Holds across restarts, and may be set by hand.
    pub(crate) wall: Timestamp,
    /// Counts on through suspend, and means nothing to another boot.
    pub(crate) boot: Duration,
}

impl Now {
    pub(crate) fn read() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            wall: Timestamp((wall * haste()).as_millis() as u64),
            boot: since_boot() * haste(),
        }
    }
}

/// Waits for so long by the clocks above.
pub(crate) async fn sleep(wait: Duration) {
    tokio::time::sleep(real(wait)).await;
}

/// Time since `start` by the clocks above, suspend left out.
pub(crate) fn since(start: Instant) -> Duration {
    start.elapsed() * haste()
}

/// How long it really takes until so much time has passed.
pub(crate) fn real(time: Duration) -> Duration {
    time / haste()
}

/// How many times faster than it does time passes: for tests of what takes hours, in builds with debug assertions alone.
/// Waits for a socket stay as they are.
fn haste() -> u32 {
    #[cfg(debug_assertions)]
    {
        static HASTE: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
            let set = std::env::var("CHUNKFERRY_HASTE").ok();
            set.and_then(|times| times.parse().ok()).unwrap_or(1).max(1)
        });
        *HASTE
    }
    #[cfg(not(debug_assertions))]
    1
}

/// Time since the machine started, suspend included, where the system has such a clock. Of use for waits of the real world,
/// which no haste makes shorter.
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
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}
