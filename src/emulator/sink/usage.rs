//! The resources that this process has used so far.

use serde_json::{Value, json};

use crate::shared::Shared;

/// The answer to `GET /_emulator/usage`: CPU time of all threads in microseconds; peak memory in bytes, if the system
/// shows it; connections that carried calls or chunks; and the time on the clock of the log's PUTs.
pub(crate) fn usage(shared: &Shared) -> Value {
    let connections = shared.service().connections;
    json!({
        "now_us": shared.micros(),
        "cpu_us": cpu_us(),
        "peak_rss": peak_rss(),
        "connections": connections,
        "cores": std::thread::available_parallelism().map(usize::from).unwrap_or(1),
    })
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
