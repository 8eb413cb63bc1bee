//! Merging segments into one: the files that still count, in path order, with their terms.

use crate::primitives::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;

use super::builder::SegmentBuilder;
use super::mask::Mask;
use super::segment::{Field, Segment};
use super::terms::Term;
use crate::error::{Error, ErrorKind, Result};

/// How many files are merged between two looks at the stop flag.
const STOP_STRIDE: u32 = 4096;

/// One input of a merge: a segment and the files of it that do not count any more.
pub(crate) type Source<'s> = (&'s Segment, &'s Mask);

/// Merges segments. No path counts in two of them. `place` is called for each file of the result,
/// in path order, with its source and its rank there.
///
/// # Errors
/// `Cancelled` if `stop` was set meanwhile; `Internal` if the result is too large.
pub(crate) fn merge(
    hasher: RandomState,
    sources: &[Source<'_>],
    stop: &AtomicBool,
    mut place: impl FnMut(usize, u32),
) -> Result<Segment> {
    let mut builder = SegmentBuilder::new(hasher);
    let mut inputs: Vec<Input<'_>> = sources.iter().map(|&source| Input::new(source)).collect();
    let mut merged = 0;
    while let Some(first) = first_in_path_order(&inputs) {
        let rank = inputs[first].next;
        inputs[first].copy_to(&mut builder);
        inputs[first].advance();
        place(first, rank);
        merged += 1;
        if merged % STOP_STRIDE == 0 && stop.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "the merge was told to stop",
            ));
        }
    }
    builder.finish()
}

/// The input whose next file comes first. There are at most a handful of inputs, so they are asked
/// one after the other.
fn first_in_path_order(inputs: &[Input<'_>]) -> Option<usize> {
    let live = inputs
        .iter()
        .enumerate()
        .filter(|(_, input)| input.next < input.segment.len());
    live.min_by_key(|(_, input)| input.segment.paths().bytes(input.next))
        .map(|(at, _)| at)
}

struct Input<'s> {
    segment: &'s Segment,
    mask: &'s Mask,
    next: u32,
    fields: [ForwardField<'s>; 4],
}

impl<'s> Input<'s> {
    fn new((segment, mask): Source<'s>) -> Self {
        let fields = Field::ALL.map(|field| ForwardField::new(segment, field));
        let mut input = Input {
            segment,
            mask,
            next: 0,
            fields,
        };
        input.skip_masked();
        input
    }

    fn advance(&mut self) {
        self.next += 1;
        self.skip_masked();
    }

    fn skip_masked(&mut self) {
        while self.next < self.segment.len() && self.mask.contains(self.next) {
            self.next += 1;
        }
    }

    fn copy_to(&mut self, builder: &mut SegmentBuilder) {
        let rank = self.next;
        // The language goes in as text, which also fills the column.
        let language = self.segment.language(rank);
        builder.file(
            self.segment.path(rank),
            language,
            self.segment.version(rank),
        );
        for field in [Field::Function, Field::Class, Field::Reference] {
            self.fields[field as usize].copy_to(rank, builder);
        }
        for &(class, method) in self.segment.pairs(rank) {
            let class = self.fields[Field::Class as usize].renamed(class, builder);
            let method = self.fields[Field::Function as usize].renamed(method, builder);
            builder.add_pair(class, method);
        }
    }
}

/// The terms of each file of a segment in one field: its posting lists turned round.
struct ForwardField<'s> {
    segment: &'s Segment,
    field: Field,
    starts: Vec<u32>,
    terms: Vec<Term>,
    /// The term in the result, or `u32::MAX` until a file that counts brings it along.
    renamed: Vec<Term>,
}

impl<'s> ForwardField<'s> {
    fn new(segment: &'s Segment, field: Field) -> Self {
        let dictionary = segment.dictionary(field);
        let count = dictionary.len();
        let mut field = ForwardField {
            segment,
            field,
            starts: Vec::new(),
            terms: Vec::new(),
            renamed: vec![u32::MAX; count],
        };
        if field.field != Field::Language {
            field.turn_round();
        }
        field
    }

    fn turn_round(&mut self) {
        let dictionary = self.segment.dictionary(self.field);
        // starts[rank + 1] first counts, then (after summing) says where rank's terms go next, and
        // in the end where they end.
        let mut starts = vec![0; self.segment.len() as usize + 2];
        for term in 0..dictionary.len() as u32 {
            dictionary
                .postings(term)
                .for_each(|rank| starts[rank as usize + 2] += 1);
        }
        for at in 2..starts.len() {
            starts[at] += starts[at - 1];
        }
        let total = starts.last().copied().unwrap_or_default();
        let mut terms = vec![0; total as usize];
        for term in 0..dictionary.len() as u32 {
            dictionary.postings(term).for_each(|rank| {
                let at: &mut u32 = &mut starts[rank as usize + 1];
                terms[*at as usize] = term;
                *at += 1;
            });
        }
        (self.starts, self.terms) = (starts, terms);
    }

    fn copy_to(&mut self, rank: u32, builder: &mut SegmentBuilder) {
        let span = self.starts[rank as usize] as usize..self.starts[rank as usize + 1] as usize;
        for at in span {
            let term = self.renamed(self.terms[at], builder);
            builder.add_term(self.field, term);
        }
    }

    fn renamed(&mut self, term: Term, builder: &mut SegmentBuilder) -> Term {
        let known = self.renamed[term as usize];
        if known != u32::MAX {
            return known;
        }
        let name = self.segment.dictionary(self.field).name(term);
        let new = builder.intern(self.field, name);
        self.renamed[term as usize] = new;
        new
    }
}
