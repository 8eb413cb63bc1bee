//! The names that the index knows, in their order, with how many files have each.

use std::collections::BinaryHeap;
use std::collections::HashSet;

use super::fields;
use crate::index::{Field, Layer, Snapshot, hash};

/// The kinds of names, as [`Snapshot::names`] takes them.
pub(crate) const NAME_KINDS: [&str; 4] = ["class", "function", "language", "reference"];

/// A name that files have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'s> {
    /// One of [`NAME_KINDS`].
    pub(crate) kind: &'static str,
    pub(crate) name: &'s str,
    /// How many files have it: at least one.
    pub(crate) files: u64,
}

impl Snapshot {
    /// The first `limit` names of a kind that begin with `prefix`, in the order of their bytes; none of
    /// an unknown kind. It goes through all names of the kind.
    pub(crate) fn names(&self, kind: &str, prefix: &str, limit: usize) -> Vec<Name<'_>> {
        let Some(field) = Field::ALL.into_iter().find(|f| fields::name_of(*f) == kind) else {
            return Vec::new();
        };
        // Languages are kept in lower case, and compared without regard to it.
        let lower = prefix.to_ascii_lowercase();
        let prefix = if field == Field::Language {
            &lower
        } else {
            prefix
        };
        let mut found = Vec::new();
        let mut after = None;
        while found.len() < limit {
            let next = self.next_names(field, prefix, after, limit - found.len());
            let Some(&last) = next.last() else {
                break;
            };
            after = Some(last);
            // A name may be left of files that are there no more.
            let counted = next.into_iter().map(|name| Name {
                kind: fields::name_of(field),
                name,
                files: self.files_with(field, name),
            });
            found.extend(counted.filter(|name| name.files > 0));
        }
        found
    }

    /// How many files have exactly this name.
    fn files_with(&self, field: Field, name: &str) -> u64 {
        let of_layer = |layer: &Layer| {
            let dictionary = layer.segment.dictionary(field);
            let hash = hash(layer.segment.hasher(), name);
            let mut files = 0;
            if let Some(term) = dictionary.find(hash, name) {
                let postings = dictionary.postings(term);
                postings.for_each(|rank| files += u64::from(!layer.mask.contains(rank)));
            }
            files
        };
        self.layers.iter().map(of_layer).sum()
    }

    /// The next names in order, whether or not files still have them.
    fn next_names(
        &self,
        field: Field,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<&str> {
        let mut least: BinaryHeap<&str> = BinaryHeap::with_capacity(limit + 1);
        let mut kept: HashSet<&str> = HashSet::with_capacity(limit + 1);
        for layer in &self.layers {
            let dictionary = layer.segment.dictionary(field);
            for term in 0..dictionary.len() {
                let name = dictionary.name(term as u32);
                let is_wanted = name.starts_with(prefix) && after.is_none_or(|after| name > after);
                let is_among = least.len() < limit || least.peek().is_some_and(|most| name < *most);
                if !is_wanted || !is_among || !kept.insert(name) {
                    continue;
                }
                least.push(name);
                if least.len() > limit
                    && let Some(most) = least.pop()
                {
                    kept.remove(most);
                }
            }
        }
        least.into_sorted_vec()
    }
}
