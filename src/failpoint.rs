//! Named points at which tests kill or freeze this process. Only in builds with debug assertions.

#[cfg(debug_assertions)]
mod points;

/// Kills this process by SIGKILL if `CHUNKFERRY_KILL_POINT` is "STEP WHAT NTH" and this is the NTH pass; stops it by
/// SIGSTOP if `CHUNKFERRY_FREEZE_POINT` is.
#[cfg(debug_assertions)]
pub(crate) fn reach(step: &str, what: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    type Armed = Option<(String, AtomicU32)>;
    fn armed(by: &str) -> Armed {
        let text = std::env::var(by).ok()?;
        let (point, nth) = text.rsplit_once(' ')?;
        Some((point.to_owned(), AtomicU32::new(nth.parse().ok()?)))
    }
    static KILL: LazyLock<Armed> = LazyLock::new(|| armed("CHUNKFERRY_KILL_POINT"));
    static FREEZE: LazyLock<Armed> = LazyLock::new(|| armed("CHUNKFERRY_FREEZE_POINT"));
    let lists = [
        points::POINTS,
        points::OF_A_PULL,
        points::OF_A_RENEWAL,
        points::OF_A_QUEUE,
        points::OF_A_SPOOL,
    ];
    assert!(
        lists.iter().any(|list| list.contains(&(step, what))),
        "the failpoint `{step} {what}` is on no list"
    );
    for (armed, signal) in [(&KILL, Signal::KILL), (&FREEZE, Signal::STOP)] {
        if let Some((point, left)) = &**armed
            && point.split_once(' ') == Some((step, what))
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            let _ = kill_process(getpid(), signal);
        }
    }
}

#[cfg(not(debug_assertions))]
pub(crate) const fn reach(_: &str, _: &str) {}
