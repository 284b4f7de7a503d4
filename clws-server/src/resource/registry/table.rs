//! The look-up of a path.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use crate::resource::registry::entry::{Entry, Hook};
use crate::stats::snapshot::Registered;

/// The registered resources.
#[derive(Default)]
pub(super) struct Tables {
    exact: HashMap<Box<str>, Arc<Entry>>,
    /// Each key ends in `/`.
    prefixes: HashMap<Box<str>, Arc<Entry>>,
    /// The distinct lengths of the prefixes, the longest first. They bound the look-ups for a path.
    lengths: Vec<usize>,
    pub(super) fallback: Option<Arc<Entry>>,
    pub(super) http: Option<Arc<Hook>>,
}

// Entries are returned and not dropped here, because a resource's drop may call the registry, whose
// lock is held.
impl Tables {
    /// The resource of exactly that path, else that of the longest prefix, else the fallback.
    pub(super) fn find(&self, path: &str) -> Option<Arc<Entry>> {
        let prefixes = || {
            let candidates = self.lengths.iter().filter_map(|length| path.get(..*length));
            candidates.filter(|prefix| prefix.ends_with('/')).find_map(|prefix| self.prefixes.get(prefix))
        };
        self.exact.get(path).or_else(prefixes).or(self.fallback.as_ref()).cloned()
    }

    pub(super) fn exact(&self, path: &str) -> Option<&Arc<Entry>> {
        self.exact.get(path)
    }

    /// Adds an entry for a path. Returns it if the path has one already.
    pub(super) fn add(&mut self, path: &str, entry: Arc<Entry>) -> Result<(), Arc<Entry>> {
        put(&mut self.exact, path, entry)
    }

    pub(super) fn remove(&mut self, path: &str) -> Option<Arc<Entry>> {
        self.exact.remove(path)
    }

    /// Adds an entry for a prefix. Returns it if the prefix has one already.
    pub(super) fn add_prefix(&mut self, prefix: &str, entry: Arc<Entry>) -> Result<(), Arc<Entry>> {
        let added = put(&mut self.prefixes, prefix, entry);
        self.measure_prefixes();
        added
    }

    pub(super) fn remove_prefix(&mut self, prefix: &str) -> Option<Arc<Entry>> {
        let removed = self.prefixes.remove(prefix);
        self.measure_prefixes();
        removed
    }

    /// The registered paths and prefixes.
    pub(super) fn paths(&self) -> Vec<Box<str>> {
        self.exact.keys().chain(self.prefixes.keys()).cloned().collect()
    }

    /// The clients of each resource, by the name of the resource in the statistics.
    pub(super) fn clients(&self) -> Vec<Registered> {
        let exact = self.exact.iter().map(|(path, entry)| (path.clone(), entry.clients.by_version()));
        let prefixes = self.prefixes.iter();
        let prefixes =
            prefixes.map(|(prefix, entry)| (format!("{prefix}*").into(), entry.clients.by_version()));
        let fallback = self.fallback.iter().map(|entry| ("*".into(), entry.clients.by_version()));
        exact.chain(prefixes).chain(fallback).collect()
    }

    fn measure_prefixes(&mut self) {
        self.lengths = self.prefixes.keys().map(|prefix| prefix.len()).collect();
        self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        self.lengths.dedup();
    }
}

fn put(table: &mut HashMap<Box<str>, Arc<Entry>>, path: &str, entry: Arc<Entry>) -> Result<(), Arc<Entry>> {
    match table.entry(path.into()) {
        Slot::Occupied(_) => Err(entry),
        Slot::Vacant(slot) => {
            slot.insert(entry);
            Ok(())
        }
    }
}
