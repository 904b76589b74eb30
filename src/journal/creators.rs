//! Whom the names of accounts stand for. One creator has one name under which drafts and windows are kept.

use std::collections::BTreeMap;

/// Who an account's name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Creator {
    /// The open_id that was the first one under the name; `None` while no open_id is known.
    pub(crate) open_id: Option<String>,
    /// The name that the creator's drafts and windows are kept under: the first one that the creator was known by.
    pub(crate) name: String,
    /// Other names of the creator. Uploads may be kept under these from before their creator was known.
    pub(crate) aliases: Vec<String>,
}

impl Creator {
    /// A name of which no open_id is known.
    pub(crate) const fn unknown(name: String) -> Self {
        Self {
            open_id: None,
            name,
            aliases: Vec::new(),
        }
    }

    /// All names that uploads may be kept under, the one for new uploads first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.name).chain(&self.aliases)
    }
}

/// The creators of one API base.
#[derive(Debug, Default)]
pub(super) struct Creators {
    /// The open_id of each account's name.
    pub(super) of_names: BTreeMap<String, String>,
    /// The name that each open_id is kept under.
    pub(super) kept: BTreeMap<String, String>,
}

impl Creators {
    /// Who `account` stands for, and whether that has changed here: `open_id` is recorded if none is, or in its place.
    ///
    /// A name that another creator is kept under is made different by the open_id, so that the drafts of the two stay apart.
    pub(super) fn identify(
        &mut self,
        account: &str,
        open_id: Option<String>,
        replace: bool,
    ) -> (Creator, bool) {
        let mut recorded = self.of_names.get(account).cloned();
        recorded = recorded.filter(|of| !replace || open_id.as_ref().is_none_or(|new| new == of));
        let is_new = recorded.is_none();
        let Some(open_id) = recorded.or(open_id) else {
            return (Creator::unknown(account.to_owned()), false);
        };
        if is_new {
            let names = &mut self.of_names;
            names.insert(account.to_owned(), open_id.clone());
        }
        let is_known = self.kept.contains_key(&open_id);
        if !is_known {
            let name = match self.kept.values().any(|taken| taken == account) {
                true => format!("{account} ({open_id})"),
                false => account.to_owned(),
            };
            self.kept.insert(open_id.clone(), name);
        }
        let name = self.kept[&open_id].clone();
        let same = self.of_names.iter().filter(|(_, of)| **of == open_id);
        let mut aliases: Vec<String> = same.map(|(name, _)| name.clone()).collect();
        aliases.retain(|alias| !self.kept.values().any(|taken| taken == alias));
        let creator = Creator {
            open_id: Some(open_id),
            name,
            aliases,
        };
        (creator, is_new || !is_known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_creator_has_one_name_and_two_creators_never_share_one() {
        let mut creators = Creators::default();
        let mut names = |account: &str, open_id: Option<&str>| {
            let (creator, changed) = creators.identify(account, open_id.map(str::to_owned), false);
            let names: Vec<String> = creator.names().cloned().collect();
            (names.join(" + "), changed)
        };
        let is = |names: &str, changed| (names.to_owned(), changed);
        assert_eq!(names("lena", None), is("lena", false));
        assert_eq!(names("lena", Some("L")), is("lena", true));
        assert_eq!(names("lena", None), is("lena", false));
        assert_eq!(
            names("lena", Some("M")),
            is("lena", false),
            "the first one holds"
        );
        assert_eq!(names("second", None), is("second", false));
        assert_eq!(names("second", Some("L")), is("lena + second", true));
        assert_eq!(names("lena", None), is("lena + second", false));
        let mut names = |account: &str, open_id: &str| {
            let (creator, _) = creators.identify(account, Some(open_id.to_owned()), true);
            creator.names().cloned().collect::<Vec<_>>().join(" + ")
        };
        assert_eq!(
            names("lena", "M"),
            "lena (M)",
            "whose drafts are not lena's"
        );
        assert_eq!(names("second", "L"), "lena + second");
        assert_eq!(names("mia", "M"), "lena (M) + mia");
    }
}
