//! The resources that this process has used so far.

use serde::{Deserialize, Serialize};

use crate::shared::Shared;

/// What the emulator's process has used since it started; the JSON of `GET /_emulator/usage`.
///
/// New fields may come, existing ones stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// The time now, in microseconds on the clock of [`PutLog::began_us`](crate::PutLog::began_us).
    pub now_us: u64,
    /// CPU time in microseconds, of all threads.
    pub cpu_us: u64,
    /// Most memory at any time, in bytes; null where the system does not show it.
    pub peak_rss: Option<u64>,
    /// Connections by which calls or chunks came.
    pub connections: u64,
    /// Processors that the process may use.
    pub cores: usize,
}

/// The answer to `GET /_emulator/usage`.
pub(crate) fn usage(shared: &Shared) -> Usage {
    let connections = shared.service().connections;
    Usage {
        now_us: shared.micros(),
        cpu_us: cpu_us(),
        peak_rss: peak_rss(),
        connections,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

fn cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    (time.tv_sec as u64) * 1_000_000 + (time.tv_nsec as u64) / 1000
}

#[cfg(target_os = "linux")]
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(not(target_os = "linux"))]
fn peak_rss() -> Option<u64> {
    None
}
