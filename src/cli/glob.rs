//! Patterns of paths below a folder.

/// A pattern: `*` stands for any letters but `/`, `?` for one of them, `**` for any letters at all, and `**/` for any folders, also
/// none. Upper and lower case are the same. A pattern without `/` is one of the file's name, in whatever folder it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    parts: Vec<Part>,
    of_name: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Letter(char),
    Any,
    Star,
    Folders,
    Everything,
}

impl Glob {
    pub(crate) fn new(text: &str) -> Self {
        let lower = text.trim_start_matches('/').to_lowercase();
        let (mut parts, mut rest) = (Vec::new(), lower.as_str());
        while let Some(letter) = rest.chars().next() {
            let (part, length) = match letter {
                '*' if rest.starts_with("**/") => (Part::Folders, 3),
                '*' if rest.starts_with("**") => (Part::Everything, 2),
                '*' => (Part::Star, 1),
                '?' => (Part::Any, 1),
                letter => (Part::Letter(letter), letter.len_utf8()),
            };
            parts.push(part);
            rest = &rest[length..];
        }
        Self {
            parts,
            of_name: !text.contains('/'),
        }
    }

    /// Whether a path below the folder fits; its parts are divided by `/`.
    pub(crate) fn fits(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let text = if self.of_name { name } else { path }.to_lowercase();
        let text: Vec<char> = text.chars().collect();
        // The places in the text that the parts so far can reach: the time is bounded by the lengths of both.
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            reached = part.step(&text, &reached);
        }
        reached[text.len()]
    }
}

impl Part {
    /// The places that can be reached by this part from those that were reached.
    fn step(self, text: &[char], reached: &[bool]) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        // Whether this part stands for many letters, has matched some of them, and can match the next letter, too.
        let mut spreads = false;
        for at in 0..reached.len() {
            let before = at.checked_sub(1).map(|before| text[before]);
            let from_before = at > 0 && reached[at - 1];
            next[at] = match self {
                Self::Letter(letter) => from_before && before == Some(letter),
                Self::Any => from_before && before != Some('/'),
                Self::Star => {
                    spreads = reached[at] || spreads && before != Some('/');
                    spreads
                }
                Self::Everything => {
                    spreads |= reached[at];
                    spreads
                }
                Self::Folders => {
                    let is_border = spreads && before == Some('/');
                    spreads |= reached[at];
                    reached[at] || is_border
                }
            };
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn a_pattern_fits_what_it_says_and_nothing_else() {
        for (pattern, fits, others) in [
            (
                "*.mp4",
                &["clip.mp4", "CLIP.MP4", "a/b/clip.mp4", ".mp4"][..],
                &["clip.mp4.txt", "clip.mov", "mp4"][..],
            ),
            ("clip?.mp4", &["clip1.mp4"], &["clip.mp4", "clip12.mp4"]),
            (
                "final/*.mov",
                &["final/a.mov"],
                &["a.mov", "x/final/a.mov", "final/b/a.mov"],
            ),
            ("/*.mov", &["a.mov"], &["b/a.mov"]),
            (
                "**/final/*",
                &["final/a", "x/y/final/a"],
                &["finals/a", "final/b/c", "xfinal/a"],
            ),
            (
                "draft/**",
                &["draft/a", "draft/b/c"],
                &["drafts/a", "a/draft/b"],
            ),
            ("a**z", &["az", "abz"], &["az1"]),
            ("ÜBER*", &["über.mp4"], &["uber.mp4"]),
            ("[a].mp4", &["[a].mp4"], &["a.mp4"]),
            ("", &[], &["a"]),
        ] {
            let glob = Glob::new(pattern);
            for path in fits {
                assert!(glob.fits(path), "{pattern} {path}");
            }
            for path in others {
                assert!(!glob.fits(path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        let glob = Glob::new(&"*a".repeat(60));
        assert!(!glob.fits(&"a".repeat(250).replace("aaaaa", "aaaab")));
    }
}
