//! Messages to a service manager about the state of the service, by the protocol of systemd's sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells the service manager that the service lives, for as long as the runtime gives this task its turn. Does nothing unless the
/// manager watches this process (`WATCHDOG_USEC`, in microseconds).
pub(super) async fn keep_telling() {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let Some(period) = number("WATCHDOG_USEC").filter(|period| is_meant && *period > 1) else {
        return;
    };
    // Half of the time that the manager waits, as sd_watchdog_enabled(3) recommends.
    let mut ticks = tokio::time::interval(Duration::from_micros(period / 2));
    loop {
        ticks.tick().await;
        tell("WATCHDOG=1");
    }
}

/// Sends a state to the socket that `NOTIFY_SOCKET` names, if there is one.
pub(super) fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, "the service manager was not reached");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)?
        }
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(state.as_bytes(), &address)
        .map(|_| ())
}
