//! The machine of a measurement.

use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub(super) struct Host {
    pub(super) system: String,
    pub(super) cpu: String,
    pub(super) cores: usize,
    /// Bytes of memory, if known.
    pub(super) memory: Option<u64>,
    pub(super) version: &'static str,
    pub(super) at: String,
}

impl Host {
    pub(super) fn this() -> Self {
        let system = rustix::system::uname();
        let name = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let told = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(key))?;
            line.split_once(':')
                .map(|(_, value)| value.trim().to_owned())
        };
        let kib = |text: String| text.strip_suffix(" kB")?.parse::<u64>().ok();
        Self {
            system: format!("{} {}", name(system.sysname()), name(system.release())),
            cpu: told("/proc/cpuinfo", "model name").unwrap_or_else(|| name(system.machine())),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: told("/proc/meminfo", "MemTotal")
                .and_then(kib)
                .map(|kib| kib * 1024),
            version: env!("CARGO_PKG_VERSION"),
            at: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string(),
        }
    }
}
