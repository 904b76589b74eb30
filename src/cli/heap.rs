//! The memory of the process: its heap, and the pages of its code.

#![allow(unsafe_code)]

/// Lets all threads share one arena of the allocator. The GNU C library gives each thread an arena of its own, which keeps what the thread
/// has freed: with a handful of threads that allocate seldom, an upload would take a megabyte more. Call it before any thread starts.
pub(super) fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) sets a number inside the allocator, and no other thread allocates at the same time. If the number is refused,
    // nothing changes.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives the pages of code and constants back that only the start of a command has used, such as those of the grammar and of the config
/// file: they would count as memory of the process for as long as it runs. What is used again is mapped again. Call it once the work begins.
pub(super) fn give_back_code() {
    #[cfg(target_os = "linux")]
    for code in code() {
        // SAFETY: the range is a mapping of this program's file that cannot be written and has no page that was changed before, so its
        // pages are those of the file, and the next access maps them again as they were. If the advice is refused, nothing changes.
        unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(code.start),
                code.len(),
                libc::MADV_DONTNEED,
            );
        }
    }
}

/// Where the code and the constants of this program are mapped as its file has them; nothing if the system does not show it. What the
/// loader has written to is left out, although it cannot be written any more.
#[cfg(target_os = "linux")]
fn code() -> Vec<std::ops::Range<usize>> {
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let (mut found, mut last) = (Vec::new(), None);
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            // Pages that differ from the file are no longer its own.
            (Some("Anonymous:"), size) => found.extend(last.take().filter(|_| size == Some("0"))),
            // "55d0-55e0 r-xp 0000 fe:00 1234    /usr/bin/chunkferry"
            (Some(range), Some(mode)) if range.contains('-') => {
                let is_ours = program
                    .to_str()
                    .is_some_and(|program| line.ends_with(program));
                let is_kept = is_ours && ["r-xp", "r--p"].contains(&mode);
                let ends = range.split_once('-').filter(|_| is_kept);
                let number = |text| usize::from_str_radix(text, 16).ok();
                last = ends.and_then(|(start, end)| Some(number(start)?..number(end)?));
            }
            _ => {}
        }
    }
    found
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("a status");
        let line = status.lines().find(|line| line.starts_with("RssFile:"));
        let words = line.expect("a size").split_ascii_whitespace().nth(1);
        words.and_then(|kib| kib.parse().ok()).expect("a number")
    }

    #[test]
    fn code_that_was_given_back_is_no_memory_and_runs_again() {
        let code = code();
        assert!(!code.is_empty());
        // Touches one page of code in each 64 KiB.
        for range in code {
            for at in range.step_by(1 << 16) {
                let page: *const u8 = std::ptr::without_provenance(at);
                // SAFETY: the page belongs to the code of this program, which can be read.
                unsafe { page.read_volatile() };
            }
        }
        let before = resident();
        give_back_code();
        assert!(resident() < before, "{before} KiB, then {} KiB", resident());
    }
}
