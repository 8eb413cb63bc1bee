//! How many bytes of memory a record holds, to charge it with in a cache.

use smol_str::SmolStr;

use super::{ChangeRecord, Class, DocSections, FileMetadata, Function, HeaderSections};

/// The two counts of an `Arc`, which come before what it holds.
const ARC: usize = 16;

/// What an allocation of so many bytes takes: the usual allocators add a word, round up to 16 bytes,
/// and give none below 32.
fn allocation(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        bytes => (bytes + 8).next_multiple_of(16).max(32),
    }
}

impl FileMetadata {
    /// The bytes of memory that the record holds, itself included, on a usual allocator.
    pub(crate) fn weight(&self) -> u64 {
        let held = small(self.language.as_ref())
            + small(self.digest.as_ref())
            + allocation(ARC + self.path.as_str().len())
            + header(&self.header_sections)
            + list(&self.functions, function)
            + list(&self.classes, class);
        (size_of::<Self>() + held) as u64
    }
}

fn header(header: &HeaderSections) -> usize {
    optional(header.intent.as_ref())
        + list(&header.design_principles, |item| text(item))
        + list(&header.constraints, |item| text(item))
        + list(&header.reference_documentation, |item| text(item))
        + list(&header.change_history, change)
}

fn change(change: &ChangeRecord) -> usize {
    optional(change.timestamp.as_ref())
        + optional(change.summary.as_ref())
        + list(&change.details, |item| text(item))
}

fn function(function: &Function) -> usize {
    small(function.name.as_ref())
        + doc(&function.doc_sections)
        + list(&function.parameters, |item| small(Some(item)))
}

fn class(class: &Class) -> usize {
    small(class.name.as_ref()) + doc(&class.doc_sections) + list(&class.methods, function)
}

fn doc(doc: &DocSections) -> usize {
    optional(doc.intent.as_ref())
        + list(&doc.design_principles, |item| text(item))
        + optional(doc.implementation_details.as_ref())
        + optional(doc.design_decisions.as_ref())
}

fn list<T>(items: &Vec<T>, each: impl Fn(&T) -> usize) -> usize {
    allocation(items.capacity() * size_of::<T>()) + items.iter().map(each).sum::<usize>()
}

fn optional(value: Option<&String>) -> usize {
    value.map_or(0, |value| text(value))
}

fn text(value: &str) -> usize {
    allocation(value.len())
}

/// Short texts stand in the record itself.
fn small(value: Option<&SmolStr>) -> usize {
    value
        .filter(|value| value.is_heap_allocated())
        .map_or(0, |value| allocation(ARC + value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_holds_is_charged() {
        let empty = FileMetadata::builder("a.rs").build().unwrap();
        assert!(empty.weight() as usize > size_of::<FileMetadata>());
        let filled = FileMetadata::builder("a.rs")
            .class(Class::named("C").method(Function::named("f").intent("x".repeat(1000))))
            .build()
            .unwrap();
        let more = filled.weight() - empty.weight();
        assert!((1000..4000).contains(&more), "{more}");
    }
}
