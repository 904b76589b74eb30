//! Figures of a full run, as `docs/reliability.md` shows them.

use std::path::Path;

/// Whether everything is tried, and not a seeded part of it.
pub(super) fn full() -> bool {
    std::env::var_os("CHUNKFERRY_FULL").is_some_and(|value| !value.is_empty())
}

/// A directory in memory where there is one: thousands of syncs are waited for otherwise.
pub(super) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a directory")
}

/// Prints the line; a full run also puts it between the page's marks of that name.
pub(super) fn tell(name: &str, full: bool, line: &str, how: &str) {
    println!("{line}");
    if !full {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    let (begin, end) = (
        format!("<!-- {name}:begin -->"),
        format!("<!-- {name}:end -->"),
    );
    let text = std::fs::read_to_string(&page).unwrap_or_default();
    let (before, after) = match (text.split_once(&begin), text.split_once(&end)) {
        (Some((before, _)), Some((_, after))) => (before.to_owned(), after.to_owned()),
        _ => (format!("{text}\n"), "\n".to_owned()),
    };
    let section = format!("{before}{begin}\n`{line}`\n\n{how}\n{end}{after}");
    std::fs::write(page, section).expect("written");
}
