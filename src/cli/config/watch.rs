//! `[[watch]]`: the folders whose files the service sends.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use toml::de::DeValue;

use super::{Entry, nearest_of};
use crate::Failure;
use crate::globals::account_name;

/// The keys of an entry.
pub(super) const KEYS: [&str; 11] = [
    "path",
    "account",
    "recursive",
    "include",
    "exclude",
    "settle",
    "done_dir",
    "labels",
    "notify",
    "scan",
    "inotify",
];

/// The part of a watched path in whose place the name of an account stands.
pub(crate) const PLACE: &str = "{account}";

/// The longest time that a file may have to be unchanged, in seconds.
const LONGEST_SETTLE: u64 = 86_400;

/// Seconds between two scans.
pub(crate) const SCAN: u64 = 2;
pub(crate) const LONGEST_SCAN: u64 = 3_600;

/// A folder whose files are sent.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "service"), allow(dead_code))]
pub(crate) struct WatchEntry {
    /// Absolute; one component may be [`PLACE`].
    pub(crate) path: PathBuf,
    /// `None`: the folder in the place of `{account}` has the name of the account.
    pub(crate) account: Option<String>,
    /// Whether files in folders below are sent, too.
    pub(crate) recursive: bool,
    /// Patterns of the path below the folder; a file has to fit one of them.
    pub(crate) include: Vec<String>,
    /// Files that fit one of these patterns are left alone.
    pub(crate) exclude: Vec<String>,
    /// For how long a file must not have changed where leases do not show its writers, in seconds.
    pub(crate) settle: Option<u64>,
    /// Where delivered files are moved to.
    pub(crate) done_dir: Option<PathBuf>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) notify: Option<String>,
    /// Seconds between two scans.
    pub(crate) scan: u64,
    /// Whether inotify wakes the scan.
    pub(crate) inotify: bool,
}

impl WatchEntry {
    /// An entry with nothing but its path.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            account: None,
            recursive: false,
            include: ["*.mp4", "*.mov", "*.webm", "*.m4v"]
                .map(str::to_owned)
                .to_vec(),
            exclude: Vec::new(),
            settle: None,
            done_dir: None,
            labels: BTreeMap::new(),
            notify: None,
            scan: SCAN,
            inotify: true,
        }
    }

    /// Why the entry cannot be used; the text completes a sentence that begins with the entry.
    pub(crate) fn check(&self) -> Result<(), String> {
        let parts = || self.path.components();
        if parts().any(|part| part == Component::ParentDir) {
            return Err("has a path with .. in it: name the folder itself".to_owned());
        }
        let mut of_done = self.done_dir.iter().flat_map(|dir| dir.components());
        if of_done.any(|part| part == Component::ParentDir) {
            return Err("has a done_dir with .. in it: name the folder itself".to_owned());
        }
        let is_place = |part: &Component<'_>| part.as_os_str() == PLACE;
        let places = parts().filter(is_place).count();
        let braces = |part: Component<'_>| part.as_os_str().to_string_lossy().contains(PLACE);
        if places > 1 || parts().any(braces) && places == 0 {
            return Err(format!(
                "has a path in which {PLACE} is not one whole folder, such as /render/{PLACE}"
            ));
        }
        match (places, &self.account) {
            (0, None) => {
                return Err(format!(
                    "needs an account, or {PLACE} in its path for folders that are named after accounts"
                ));
            }
            (1, Some(_)) => {
                return Err(format!(
                    "has an account and {PLACE} in its path: leave one out"
                ));
            }
            _ => {}
        }
        if self.root() == Path::new("/") {
            return Err("has a path that begins with the whole file system: name a folder".into());
        }
        if self.settle.is_some_and(|settle| settle > LONGEST_SETTLE) {
            return Err(format!("has a settle above {LONGEST_SETTLE} seconds"));
        }
        if !(1..=LONGEST_SCAN).contains(&self.scan) {
            return Err(format!(
                "has a scan that is not from 1 to {LONGEST_SCAN} seconds"
            ));
        }
        match &self.done_dir {
            Some(dir) if self.fits(dir) => Err(
                "has a done_dir that is the watched folder itself: delivered files would be sent again"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// The part of the path before `{account}`; the whole path without that.
    pub(crate) fn root(&self) -> PathBuf {
        let parts = self.path.components();
        parts.take_while(|part| part.as_os_str() != PLACE).collect()
    }

    /// Whether this is a watched folder.
    fn fits(&self, dir: &Path) -> bool {
        let is_same = |(ours, theirs): (Component<'_>, Component<'_>)| {
            ours.as_os_str() == PLACE || ours == theirs
        };
        self.path.components().count() == dir.components().count()
            && self.path.components().zip(dir.components()).all(is_same)
    }

    /// Whether a file may lie in folders of both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.path.components(), other.path.components());
        let is_place = |part: Component<'_>| part.as_os_str() == PLACE;
        let meets = |(one, two): (Component<'_>, Component<'_>)| {
            one == two || is_place(one) || is_place(two)
        };
        let reach = match (ours.clone().count(), theirs.clone().count()) {
            (ours, theirs) if ours < theirs => self.recursive,
            (ours, theirs) if ours > theirs => other.recursive,
            _ => true,
        };
        reach && ours.zip(theirs).all(meets)
    }
}

impl Entry<'_> {
    /// The entries of `[[watch]]`.
    pub(super) fn watch(&self) -> Result<Vec<WatchEntry>, Failure> {
        let mut entries: Vec<WatchEntry> = Vec::new();
        for table in self.list("a list of tables, [[watch]]")? {
            let entry = table.watch_entry()?;
            entry.check().map_err(|why| table.wrong(&why))?;
            if let Some(other) = entries.iter().find(|other| other.overlaps(&entry)) {
                return Err(table.wrong(&format!(
                    "has files of another entry, {}: a file belongs to one",
                    other.path.display()
                )));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn watch_entry(&self) -> Result<WatchEntry, Failure> {
        let mut found = WatchEntry::new(PathBuf::new());
        for (key, value) in self.table()? {
            let entry = self.below(key, value);
            match &**key.get_ref() {
                "path" => found.path = entry.folder()?,
                "account" => {
                    let name = account_name(entry.text()?);
                    found.account = Some(name.map_err(|why| entry.wrong(&format!(": {why}")))?);
                }
                "recursive" => found.recursive = entry.switch()?,
                "include" => found.include = entry.patterns()?,
                "exclude" => found.exclude = entry.patterns()?,
                "settle" => found.settle = Some(entry.whole_number()?),
                "done_dir" => found.done_dir = Some(entry.folder()?),
                "labels" => {
                    for (name, value) in entry.table()? {
                        let text = entry.below(name, value).text()?.to_owned();
                        found.labels.insert(name.get_ref().to_string(), text);
                    }
                }
                "notify" => found.notify = Some(entry.text()?.to_owned()),
                "scan" => found.scan = entry.whole_number()?,
                "inotify" => found.inotify = entry.switch()?,
                _ => {
                    let nearest = nearest_of(KEYS, key.get_ref());
                    let help = format!("the nearest key is \"{nearest}\"");
                    return Err(entry.unknown(key, &help));
                }
            }
        }
        match found.path.as_os_str().is_empty() {
            true => Err(self.wrong("needs a path, the folder")),
            false => Ok(found),
        }
    }

    fn folder(&self) -> Result<PathBuf, Failure> {
        let path = self.path()?;
        Ok(std::path::absolute(&path).unwrap_or(path))
    }

    pub(super) fn switch(&self) -> Result<bool, Failure> {
        let on = self.value.get_ref().as_bool();
        on.ok_or_else(|| self.is_not("true or false"))
    }

    fn whole_number(&self) -> Result<u64, Failure> {
        let DeValue::Integer(number) = self.value.get_ref() else {
            return Err(self.is_not("a whole number"));
        };
        let number = u64::from_str_radix(number.as_str(), number.radix());
        number.map_err(|_| self.wrong("has to be a whole number that is not negative"))
    }

    fn patterns(&self) -> Result<Vec<String>, Failure> {
        let texts = self.texts("a list of patterns, such as [\"*.mp4\"]")?;
        Ok(texts.into_iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, account: bool, recursive: bool) -> WatchEntry {
        WatchEntry {
            account: account.then(|| "lena".to_owned()),
            recursive,
            ..WatchEntry::new(PathBuf::from(path))
        }
    }

    #[test]
    fn a_folder_says_whose_files_it_has_in_exactly_one_way() {
        for (path, account, fits) in [
            ("/render", true, true),
            ("/render", false, false),
            ("/render/{account}", false, true),
            ("/render/{account}/final", false, true),
            ("/render/{account}", true, false),
            ("/render/{account}/{account}", false, false),
            ("/render/of-{account}", false, false),
            ("/{account}", false, false),
            ("/", true, false),
            ("/render/../etc", true, false),
        ] {
            assert_eq!(entry(path, account, false).check().is_ok(), fits, "{path}");
        }
    }

    #[test]
    fn no_file_belongs_to_two_entries() {
        let entry = |path: &str, recursive| entry(path, true, recursive);
        for (one, other, overlaps) in [
            (("/a", false), ("/a", false), true),
            (("/a", false), ("/a/b", false), false),
            (("/a", true), ("/a/b", false), true),
            (("/a", true), ("/ab", true), false),
            (("/a/{account}", false), ("/a/lena", false), true),
            (("/a/{account}", false), ("/a", false), false),
            (("/a/{account}", false), ("/a", true), true),
            (("/a/{account}/x", false), ("/a/lena/y", false), false),
        ] {
            let (one, other) = (entry(one.0, one.1), entry(other.0, other.1));
            assert_eq!(one.overlaps(&other), overlaps, "{one:?} {other:?}");
            assert_eq!(other.overlaps(&one), overlaps, "{one:?} {other:?}");
        }
    }

    #[test]
    fn delivered_files_are_not_put_back_into_the_folder() {
        let with_done = |path: &str, done: &str| {
            let mut entry = entry(path, !path.contains(PLACE), false);
            entry.done_dir = Some(PathBuf::from(done));
            entry.check().is_ok()
        };
        assert!(!with_done("/a", "/a"));
        assert!(!with_done("/a", "/a/"));
        assert!(!with_done("/a/{account}", "/a/lena"));
        assert!(with_done("/a", "/a/done"));
        assert!(with_done("/a", "/b"));
    }
}
