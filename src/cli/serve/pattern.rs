//! Patterns of account names.

/// A text in which `*` stands for any letters, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(String);

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether every name fits.
    pub(super) fn is_any(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|byte| byte == b'*')
    }

    pub(super) fn fits(&self, name: &str) -> bool {
        fits(&self.0, name)
    }
}

/// Whether a name fits a text in which `*` stands for any letters, also none.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The earliest place leaves the most for the parts behind.
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn only_a_star_stands_for_other_letters() {
        for (pattern, fits, others) in [
            (
                "lena",
                &["lena"][..],
                &["", "len", "lenaa", "Lena", "*"][..],
            ),
            ("*", &["", "lena", "a*b"], &[]),
            (
                "team-*",
                &["team-", "team-a"],
                &["team", "a-team-a", "Team-a"],
            ),
            ("*-eu", &["-eu", "a-eu", "a-eu-eu"], &["a-eu-", "eu"]),
            ("a*b*c", &["abc", "a-b-c", "abcbc"], &["ab", "acb", "abcb"]),
            ("ab*ba", &["abba", "ab-ba"], &["aba", "ab"]),
            ("a**b", &["ab", "axb"], &["a", "b"]),
            ("ü*", &["ü", "üb"], &["u"]),
            ("te?m.[a]", &["te?m.[a]"], &["team.a"]),
            ("", &[""], &["a"]),
        ] {
            let pattern = Pattern::new(pattern);
            for name in fits {
                assert!(pattern.fits(name), "{pattern:?} {name}");
            }
            for name in others {
                assert!(!pattern.fits(name), "{pattern:?} {name}");
            }
        }
        assert!(Pattern::new("**").is_any());
        assert!(!Pattern::new("").is_any() && !Pattern::new("*a").is_any());
    }
}
