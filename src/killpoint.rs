//! Moments at which tests kill this process, told apart from the moments before and after. Builds without debug
//! assertions hold none of it.

#[cfg(debug_assertions)]
mod points;

/// Dies here by SIGKILL if `CHUNKFERRY_KILL_POINT` says "STEP WHAT NTH" and this is the NTH time.
#[cfg(debug_assertions)]
pub(crate) fn reach(step: &str, what: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ARMED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let text = std::env::var("CHUNKFERRY_KILL_POINT").ok()?;
        let (point, nth) = text.rsplit_once(' ')?;
        Some((point.to_owned(), AtomicU32::new(nth.parse().ok()?)))
    });
    assert!(
        points::POINTS.contains(&(step, what)) || points::OF_A_PULL.contains(&(step, what)),
        "the kill point `{step} {what}` is on no list"
    );
    if let Some((point, left)) = &*ARMED
        && point.split_once(' ') == Some((step, what))
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(not(debug_assertions))]
pub(crate) const fn reach(_: &str, _: &str) {}
