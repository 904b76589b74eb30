//! What the names of files in a watched folder mean.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Ends of names under which programs write files that are not complete.
const TEMPORARY: [&str; 5] = ["part", "tmp", "crdownload", "partial", "filepart"];

const MARKER: &str = ".done";
const REASON: &str = ".failed.txt";

/// Whether a file of this name is not complete, or is nobody's video: it is left alone until it has another name.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let end = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let is_end = |temporary: &str| end.eq_ignore_ascii_case(temporary.as_bytes());
    name.starts_with(b".") || name.ends_with(b"~") || TEMPORARY.into_iter().any(is_end)
}

/// Whether a file is not of the folder's videos, but says something about one of them.
pub(super) fn is_remark(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(MARKER.as_bytes()) || name.ends_with(REASON.as_bytes())
}

/// The name of the file that says that this one is complete.
pub(super) fn marker(name: &OsStr) -> OsString {
    let mut marker = name.to_owned();
    marker.push(MARKER);
    marker
}

/// The path of the file that says why this one was not sent.
pub(super) fn reason(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(REASON);
    path.with_file_name(name)
}

/// The name with a number before its extension: `clip (2).mp4`.
pub(super) fn numbered(name: &OsStr, number: u32) -> OsString {
    let path = Path::new(name);
    let mut numbered = path.file_stem().unwrap_or_default().to_owned();
    numbered.push(format!(" ({number})"));
    if let Some(extension) = path.extension() {
        numbered.push(".");
        numbered.push(extension);
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_under_a_temporary_name_is_never_taken() {
        for name in [
            "clip.mp4.part",
            "clip.part",
            "clip.mp4.TMP",
            "clip.mp4.crdownload",
            "clip.mp4.partial",
            "clip.mp4.filepart",
            ".clip.mp4",
            ".clip.mp4.Xa8Qh1",
            "clip.mp4~",
        ] {
            assert!(is_temporary(OsStr::new(name)), "{name}");
        }
        for name in ["clip.mp4", "part.mp4", "tmp.mov", "a.part.mp4", "~clip.mp4"] {
            assert!(!is_temporary(OsStr::new(name)), "{name}");
        }
        for name in ["clip.mp4.done", "clip.mp4.failed.txt"] {
            assert!(is_remark(OsStr::new(name)), "{name}");
        }
        assert!(!is_remark(OsStr::new("done.mp4")));
    }

    #[test]
    fn a_number_goes_before_the_extension() {
        let numbered = |name| numbered(OsStr::new(name), 2);
        assert_eq!(numbered("clip.mp4"), "clip (2).mp4");
        assert_eq!(numbered("clip"), "clip (2)");
        assert_eq!(numbered("a.b.mp4"), "a.b (2).mp4");
    }
}
