//! One table of the file, being read: hands out typed values, keeps what was asked for, and so knows at its end which keys
//! nobody asked for.

use std::cell::RefCell;

use podlane_api::nearest;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::mistake::{Findings, Mistake};
use super::value::{Found, FromKey, FromValue};

/// A value and the byte of the text it begins at.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// What a key held. A refused value has been reported; who depends on it says nothing more.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Entry<T> {
    Absent,
    Refused,
    Given(At<T>),
}

impl<T> Entry<T> {
    /// The value, if there is a good one.
    pub(super) fn given(&self) -> Option<&At<T>> {
        match self {
            Self::Given(value) => Some(value),
            _ => None,
        }
    }

    /// The value, if there is a good one.
    pub(super) fn into_value(self) -> Option<T> {
        match self {
            Self::Given(At { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// Where the value is, if there is a good one.
    pub(super) fn at(&self) -> Option<usize> {
        self.given().map(|value| value.at)
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A table of the file.
pub(super) struct Table<'a> {
    /// What messages call it.
    subject: String,
    at: usize,
    /// None for a table that is not written, whose keys are all absent.
    entries: Option<&'a DeTable<'a>>,
    /// The keys that were asked for.
    known: RefCell<Vec<&'static str>>,
    /// The keys that had to be there and were not, with what they must be.
    missing: RefCell<Vec<(&'static str, String)>>,
    /// The keys under which something was refused.
    refused: RefCell<Vec<String>>,
    findings: &'a Findings<'a>,
}

impl<'a> Table<'a> {
    /// The file's top.
    pub(super) fn root(document: &'a Spanned<DeTable<'a>>, findings: &'a Findings<'a>) -> Self {
        Self {
            subject: String::new(),
            at: 0,
            entries: Some(document.get_ref()),
            known: RefCell::default(),
            missing: RefCell::default(),
            refused: RefCell::default(),
            findings,
        }
    }

    /// What messages call it.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// The byte of the text it begins at.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The value of `key`, which may be absent.
    pub(super) fn get<T: FromValue>(&self, key: &'static str) -> Entry<T> {
        match self.entry(key) {
            None => Entry::Absent,
            Some((_, value)) => self.typed(key, value).map_or(Entry::Refused, Entry::Given),
        }
    }

    /// The value of `key`; absent or refused, the default, which then stands where the table begins.
    pub(super) fn get_or<T: FromValue>(&self, key: &'static str, default: T) -> At<T> {
        match self.get(key) {
            Entry::Given(value) => value,
            _ => At { value: default, at: self.at },
        }
    }

    /// The value of `key`, which may not be absent.
    pub(super) fn need<T: FromValue>(&self, key: &'static str) -> Entry<T> {
        let entry = self.get(key);
        if entry.is_absent() {
            self.missing.borrow_mut().push((key, T::must_be().into_owned()));
            return Entry::Refused;
        }
        entry
    }

    /// The values of the list under `key`. Refused ones are left out; refused as a whole when it is no list.
    pub(super) fn list<T: FromValue>(&self, key: &'static str) -> Entry<Vec<At<T>>> {
        let Some((_, value)) = self.entry(key) else {
            return Entry::Absent;
        };
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Array(items) => {
                let value = items.iter().filter_map(|item| self.typed(key, item)).collect();
                Entry::Given(At { value, at })
            }
            other => {
                self.refuse(at, key, list_of::<T>(), other);
                Entry::Refused
            }
        }
    }

    /// The entries of the table under `key`, whose keys are data. Refused ones are left out.
    pub(super) fn map<K: FromKey, T: FromValue>(&self, key: &'static str) -> Entry<Vec<(At<K>, At<T>)>> {
        let Some((_, value)) = self.entry(key) else {
            return Entry::Absent;
        };
        let at = value.span().start;
        let DeValue::Table(entries) = value.get_ref() else {
            self.refuse(
                at,
                key,
                format!("a table, each key {}, each value {}", K::MUST_BE, T::must_be()),
                value.get_ref(),
            );
            return Entry::Refused;
        };
        let pair = |(name, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let at = name.span().start;
            let Some(id) = K::from_key(name.get_ref()) else {
                self.refuse(at, &format!("{key} key"), K::MUST_BE.to_owned(), &DeValue::String(name.get_ref().clone()));
                return None;
            };
            Some((At { value: id, at }, self.typed(&format!("{key}.{}", name.get_ref()), value)?))
        };
        Entry::Given(At { value: entries.iter().filter_map(pair).collect(), at })
    }

    /// The values of the list under `key`, which may not be absent.
    pub(super) fn need_list<T: FromValue>(&self, key: &'static str) -> Entry<Vec<At<T>>> {
        let entry = self.list(key);
        if entry.is_absent() {
            self.missing.borrow_mut().push((key, list_of::<T>()));
            return Entry::Refused;
        }
        entry
    }

    /// The table under `key`; one without entries when it is not written, so that its defaults hold.
    pub(super) fn section(&self, key: &'static str) -> Table<'a> {
        let unwritten = || Table {
            subject: key.to_owned(),
            at: self.at,
            entries: None,
            known: RefCell::default(),
            missing: RefCell::default(),
            refused: RefCell::default(),
            findings: self.findings,
        };
        self.table(key).unwrap_or_else(unwritten)
    }

    /// The table under `key`.
    pub(super) fn table(&self, key: &'static str) -> Option<Table<'a>> {
        let (_, value) = self.entry(key)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Table(entries) => Some(self.inner(self.within(key.to_owned()), at, entries)),
            other => {
                self.refuse(at, key, "a table".to_owned(), other);
                None
            }
        }
    }

    /// The tables of the array of tables under `key`.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Table<'a>> {
        let Some((_, value)) = self.entry(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            let dot = if self.subject.is_empty() { "" } else { "." };
            let must_be = format!("a list of tables, each headed [[{}{dot}{key}]]", self.subject);
            self.refuse(value.span().start, key, must_be, value.get_ref());
            return Vec::new();
        };
        let table = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::Table(entries) => Some(self.inner(self.within(titled(key, entries)), item.span().start, entries)),
            other => {
                self.refuse(item.span().start, key, "a table".to_owned(), other);
                None
            }
        };
        items.iter().filter_map(table).collect()
    }

    /// Whether `key` is as it was meant, absent or not: nothing under it was refused, and no key that nobody asked for looks like
    /// it. What rests on one that is not would follow from a mistake that is told. To be asked when all other keys have been.
    pub(super) fn is_sound(&self, key: &str) -> bool {
        let known = self.known.borrow();
        let is_misspelt = |name: &str| !known.contains(&name) && nearest(name, known.iter().copied()) == Some(key);
        let mut names = self.entries.into_iter().flatten().map(|(name, _)| name.get_ref());
        !self.refused.borrow().iter().any(|refused| refused == key) && !names.any(|name| is_misspelt(name))
    }

    /// Reports the keys nobody asked for, and those that are missing. A key that is missing because it is misspelt is one
    /// mistake, not two.
    pub(super) fn end(self) {
        let known = self.known.into_inner();
        let mut missing = self.missing.into_inner();
        for (name, _) in self.entries.into_iter().flatten() {
            let key: &str = name.get_ref();
            if !known.contains(&key) {
                let nearest = nearest(key, known.iter().copied());
                missing.retain(|(key, _)| Some(*key) != nearest);
                let mistake = Mistake::UnknownKey { key: key.to_owned(), nearest, keys: known.clone() };
                self.findings.add(name.span().start, &self.subject, mistake);
            }
        }
        for (key, must_be) in missing {
            self.findings.add(self.at, &self.subject, Mistake::Missing { key, must_be });
        }
    }

    fn entry(&self, key: &'static str) -> Option<(&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>)> {
        self.known.borrow_mut().push(key);
        self.entries?.get_key_value(key)
    }

    fn within(&self, subject: String) -> String {
        if self.subject.is_empty() { subject } else { format!("{}: {subject}", self.subject) }
    }

    fn inner(&self, subject: String, at: usize, entries: &'a DeTable<'a>) -> Table<'a> {
        Table {
            subject,
            at,
            entries: Some(entries),
            known: RefCell::default(),
            missing: RefCell::default(),
            refused: RefCell::default(),
            findings: self.findings,
        }
    }

    fn typed<T: FromValue>(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<At<T>> {
        let at = value.span().start;
        if let Some(value) = T::from_value(value.get_ref()) {
            return Some(At { value, at });
        }
        let word = value.get_ref().as_str().unwrap_or_default();
        let nearest = nearest(word, T::words().iter().copied());
        let found = Found::new(value.get_ref());
        let mistake = Mistake::Value { key: key.to_owned(), must_be: T::must_be().into_owned(), found, nearest };
        self.findings.add(at, &self.subject, mistake);
        self.refused.borrow_mut().push(key.to_owned());
        None
    }

    fn refuse(&self, at: usize, key: &str, must_be: String, value: &DeValue<'_>) {
        let mistake = Mistake::Value { key: key.to_owned(), must_be, found: Found::new(value), nearest: None };
        self.findings.add(at, &self.subject, mistake);
        self.refused.borrow_mut().push(key.to_owned());
    }
}

fn list_of<T: FromValue>() -> String {
    format!("a list, each entry {}", T::must_be())
}

/// `port "red"` where the table has a name, else `port`. An endpoint is called by its MAC address.
fn titled(key: &str, entries: &DeTable<'_>) -> String {
    let called = if key == "endpoint" { "mac" } else { "name" };
    match entries.get(called).and_then(|name| name.get_ref().as_str()) {
        Some(name) => format!("{key} {name:?}"),
        None => key.to_owned(),
    }
}
