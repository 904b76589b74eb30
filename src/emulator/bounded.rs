//! Lists and maps that forget their oldest entries, so that memory stays bounded however long the server runs.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// Most entries in each list of events: faults, remarks, webhooks, findings.
pub(crate) const MOST_RECORDS: usize = 10_000;

/// Most keys in each list of tokens.
pub(crate) const MOST_KEYS: usize = 10_000;

/// The last `most` entries of a list. Each keeps the number it was pushed with.
#[derive(Clone, Debug)]
pub(crate) struct Last<T> {
    most: usize,
    forgotten: usize,
    entries: VecDeque<T>,
}

impl<T> Last<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            forgotten: 0,
            entries: VecDeque::new(),
        }
    }

    /// Adds an entry, and returns its number.
    pub(crate) fn push(&mut self, entry: T) -> usize {
        if self.entries.len() == self.most {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        self.entries.push_back(entry);
        self.forgotten + self.entries.len() - 1
    }

    /// The entry with this number, unless it is forgotten.
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.entries.get_mut(number.checked_sub(self.forgotten)?)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.entries.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Keeps the wanted entries. Numbers that `push` returned before are then invalid.
    pub(crate) fn retain(&mut self, wanted: impl FnMut(&T) -> bool) {
        self.entries.retain(wanted);
    }
}

/// The last `most` keys that were inserted, and their values.
#[derive(Debug)]
pub(crate) struct LastKeys<K, V> {
    most: usize,
    next: u64,
    known: HashMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> LastKeys<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            next: 0,
            known: HashMap::new(),
            order: BTreeMap::new(),
        }
    }

    /// True if the key was not known.
    pub(crate) fn insert(&mut self, key: K, value: V) -> bool {
        let number = self.next;
        self.next += 1;
        let old = self.known.insert(key.clone(), (number, value));
        if let Some((old, _)) = &old {
            self.order.remove(old);
        }
        self.order.insert(number, key);
        if self.order.len() > self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.known.remove(&oldest);
        }
        old.is_none()
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.known.get(key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.known.get_mut(key).map(|(_, value)| value)
    }

    pub(crate) fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.known.contains_key(key)
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (number, value) = self.known.remove(key)?;
        self.order.remove(&number);
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.known.iter().map(|(key, (_, value))| (key, value))
    }

    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&K) -> bool) {
        self.order.retain(|_, key| wanted(key));
        let order = &self.order;
        self.known
            .retain(|_, (number, _)| order.contains_key(number));
    }
}

/// The first `most` characters, with a mark if some are missing.
pub(crate) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_its_number_until_it_is_forgotten() {
        let mut last = Last::new(2);
        let numbers = ["a", "b", "c"].map(|entry| last.push(entry));
        assert_eq!(
            numbers.map(|number| last.get_mut(number).copied()),
            [None, Some("b"), Some("c")]
        );
        assert_eq!(last.get_mut(3), None);
        assert_eq!(last.iter().collect::<Vec<_>>(), [&"b", &"c"]);
    }

    #[test]
    fn a_key_that_is_inserted_again_is_young_again() {
        let mut keys = LastKeys::new(2);
        assert!(keys.insert("a", 1) && keys.insert("b", 1));
        assert!(!keys.insert("a", 2));
        keys.insert("c", 1);
        assert_eq!(
            (keys.get("a"), keys.contains("b"), keys.contains("c")),
            (Some(&2), false, true)
        );
        assert_eq!(keys.remove("a"), Some(2));
        keys.insert("d", 1);
        assert!(
            keys.contains("c") && keys.contains("d"),
            "a removed key takes no place"
        );
        keys.retain(|key| *key != "c");
        assert_eq!(keys.iter().collect::<Vec<_>>(), [(&"d", &1)]);
    }
}
