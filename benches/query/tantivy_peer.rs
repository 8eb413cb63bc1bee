//! tantivy in memory: one segment whose documents are in path order, fields without tokens, norms or
//! frequencies, and the language also as a column. A question is put as the search API offers it, a
//! held query and a collector that stops after the first files: with the language as a term of the
//! query (the peer), and with the collector looking at the column instead. It is also put by hand,
//! below queries and collectors, on the bare posting lists.

use std::sync::Arc;

use ::tantivy::collector::{Collector, Count, SegmentCollector};
use ::tantivy::columnar::ColumnValues;
use ::tantivy::directory::RamDirectory;
use ::tantivy::postings::SegmentPostings;
use ::tantivy::query::{BooleanQuery, Query, TermQuery, Weight};
use ::tantivy::schema::{
    FAST, Field as Id, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use ::tantivy::{
    DocSet, Index, InvertedIndexReader, Result, Searcher, SegmentReader, TERMINATED,
    TantivyDocument, Term,
};

use crate::common::corpus::{Corpus, FIELDS, Field};
use crate::questions::{LIMIT, Question};

/// Enough to write a million files into one segment.
const WRITER_BYTES: usize = 3 << 30;

pub(crate) struct Tantivy {
    searcher: Searcher,
    /// By [`Field`], and the language.
    ids: [Id; 4],
    lists: Vec<Arc<InvertedIndexReader>>,
    languages: Arc<dyn ColumnValues<u64>>,
    language_names: Vec<String>,
}

impl Tantivy {
    pub(crate) fn new(corpus: &Corpus) -> Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("raw")
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false);
        let terms = TextOptions::default().set_indexing_options(indexing);
        let ids = ["function", "class", "reference", "language"]
            .map(|name| schema.add_text_field(name, terms.clone()));
        let column = schema.add_u64_field("language_number", FAST);
        let mut writer = Index::builder()
            .schema(schema.build())
            .single_segment_index_writer::<TantivyDocument>(RamDirectory::create(), WRITER_BYTES)?;
        for file in 0..corpus.len() {
            let mut document = TantivyDocument::new();
            for field in FIELDS {
                for term in corpus.terms(file, field) {
                    document.add_text(ids[field as usize], corpus.name(field, term));
                }
            }
            if let Some(language) = corpus.language(file) {
                document.add_text(ids[3], &corpus.languages()[usize::from(language)]);
                document.add_u64(column, language.into());
            }
            writer.add_document(document)?;
        }
        let reader = writer.finalize()?.reader()?;
        let searcher = reader.searcher();
        assert_eq!(searcher.segment_readers().len(), 1);
        let segment = &searcher.segment_readers()[0];
        let lists = ids
            .iter()
            .map(|&id| segment.inverted_index(id))
            .collect::<Result<_>>()?;
        let languages = segment.fast_fields().u64("language_number")?;
        Ok(Tantivy {
            lists,
            languages: languages.first_or_default_col(u64::MAX),
            searcher,
            ids,
            language_names: corpus.languages().iter().map(ToString::to_string).collect(),
        })
    }

    pub(crate) fn asker(&self, questions: &[Question]) -> Result<Asker<'_>> {
        let prepared = questions.iter().map(|question| self.prepare(question));
        Ok(Asker {
            tantivy: self,
            questions: prepared.collect::<Result<_>>()?,
        })
    }

    fn prepare(&self, question: &Question) -> Result<Prepared> {
        let mut named: Vec<_> = question.terms.iter().collect();
        named.sort_by_key(|term| term.files);
        let term = |field: Field, name: &str| Term::from_field_text(self.ids[field as usize], name);
        let terms: Vec<_> = named
            .iter()
            .map(|t| (t.field as usize, term(t.field, &t.name)))
            .collect();
        let language = question.language.map(|language| {
            let name = &self.language_names[usize::from(language)];
            (
                u64::from(language),
                Term::from_field_text(self.ids[3], name),
            )
        });
        let query = |term: &Term| {
            Box::new(TermQuery::new(term.clone(), IndexRecordOption::Basic)) as Box<dyn Query>
        };
        let all_of = |mut parts: Vec<Box<dyn Query>>| match parts.len() {
            1 => parts.remove(0),
            _ => Box::new(BooleanQuery::intersection(parts)),
        };
        let names = || terms.iter().map(|(_, term)| query(term));
        let language_query = language.as_ref().map(|(_, term)| query(term));
        Ok(Prepared {
            names: all_of(names().collect()),
            all: all_of(names().chain(language_query).collect()),
            terms,
            language,
        })
    }
}

/// A way to find the first files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// On the bare posting lists.
    pub(crate) by_hand: bool,
    /// The language by its column.
    pub(crate) column: bool,
}

/// As one writes it: every criterion a term of a boolean query.
pub(crate) const BOOLEAN: Way = Way {
    by_hand: false,
    column: false,
};
/// As one writes it who knows that the language is a column too.
pub(crate) const COLUMN: Way = Way {
    by_hand: false,
    column: true,
};
/// Below the search API.
pub(crate) const BY_HAND: [Way; 2] = [
    Way {
        by_hand: true,
        column: true,
    },
    Way {
        by_hand: true,
        column: false,
    },
];

struct Prepared {
    /// Rarest first, each with the number of its field.
    terms: Vec<(usize, Term)>,
    language: Option<(u64, Term)>,
    /// The names without the language, and with it.
    names: Box<dyn Query>,
    all: Box<dyn Query>,
}

/// Questions with everything ready that can be before they are asked.
pub(crate) struct Asker<'t> {
    tantivy: &'t Tantivy,
    questions: Vec<Prepared>,
}

impl Asker<'_> {
    pub(crate) fn first(&self, way: Way, at: usize, found: &mut Vec<u32>) -> Result<()> {
        let question = &self.questions[at];
        let language = question.language.as_ref();
        let by_column = language.filter(|_| way.column).map(|(number, _)| *number);
        let keep = Keep {
            languages: &self.tantivy.languages,
            language: by_column,
        };
        if way.by_hand {
            let language = language.filter(|_| !way.column).map(|(_, term)| (3, term));
            return self.by_hand(question, language, keep, found);
        }
        let query = if way.column {
            &question.names
        } else {
            &question.all
        };
        let collector = FirstFiles {
            languages: Arc::clone(keep.languages),
            language: by_column,
        };
        found.extend(self.tantivy.searcher.search(query, &collector)?);
        Ok(())
    }

    fn by_hand(
        &self,
        question: &Prepared,
        language: Option<(usize, &Term)>,
        keep: Keep<'_>,
        found: &mut Vec<u32>,
    ) -> Result<()> {
        let mut lists: [Option<SegmentPostings>; 3] = [None, None, None];
        let wanted = question.terms.iter().map(|(field, term)| (*field, term));
        for (at, (field, term)) in wanted.chain(language).enumerate() {
            let list = self.tantivy.lists[field].read_postings(term, IndexRecordOption::Basic)?;
            let Some(list) = list else { return Ok(()) };
            lists[at] = Some(list);
        }
        let mut lists = lists.into_iter().flatten();
        match (lists.next(), lists.next(), lists.next()) {
            (Some(one), None, None) => first(one, keep, found),
            (Some(one), Some(two), None) => first(Both::new(one, two), keep, found),
            (Some(one), Some(two), Some(three)) => {
                first(Both::new(Both::new(one, two), three), keep, found);
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn count(&self, at: usize) -> Result<u64> {
        let count = self
            .tantivy
            .searcher
            .search(&self.questions[at].all, &Count)?;
        Ok(count as u64)
    }
}

/// Which files count: those of a language, or all.
#[derive(Clone, Copy)]
struct Keep<'t> {
    languages: &'t Arc<dyn ColumnValues<u64>>,
    language: Option<u64>,
}

/// Collects the first files, and stops.
struct FirstFiles {
    languages: Arc<dyn ColumnValues<u64>>,
    language: Option<u64>,
}

impl Collector for FirstFiles {
    type Fruit = Vec<u32>;
    type Child = Found;

    fn for_segment(&self, _: u32, _: &SegmentReader) -> Result<Found> {
        Ok(Found::default())
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, fruits: Vec<Vec<u32>>) -> Result<Vec<u32>> {
        Ok(fruits.into_iter().next().unwrap_or_default())
    }

    fn collect_segment(
        &self,
        weight: &dyn Weight,
        _: u32,
        reader: &SegmentReader,
    ) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        let keep = Keep {
            languages: &self.languages,
            language: self.language,
        };
        first(weight.scorer(reader, 1.0)?, keep, &mut found);
        Ok(found)
    }
}

/// What a collector that is fed file by file would keep; ours is not.
#[derive(Default)]
struct Found(Vec<u32>);

impl SegmentCollector for Found {
    type Fruit = Vec<u32>;

    fn collect(&mut self, file: u32, _: f32) {
        self.0.push(file);
    }

    fn harvest(self) -> Vec<u32> {
        self.0
    }
}

fn first(mut list: impl DocSet, keep: Keep<'_>, found: &mut Vec<u32>) {
    while found.len() < LIMIT && list.doc() != TERMINATED {
        let file = list.doc();
        if keep
            .language
            .is_none_or(|number| keep.languages.get_val(file) == number)
        {
            found.push(file);
        }
        list.advance();
    }
}

/// What two lists share; the first one is the rarer.
struct Both<A, B> {
    one: A,
    two: B,
}

impl<A: DocSet, B: DocSet> Both<A, B> {
    fn new(one: A, two: B) -> Self {
        let mut both = Both { one, two };
        both.meet();
        both
    }

    fn meet(&mut self) {
        loop {
            let file = self.one.doc();
            if file == TERMINATED {
                return;
            }
            let other = if self.two.doc() < file {
                self.two.seek(file)
            } else {
                self.two.doc()
            };
            if other == file {
                return;
            }
            self.one.seek(other);
        }
    }
}

impl<A: DocSet, B: DocSet> DocSet for Both<A, B> {
    fn advance(&mut self) -> u32 {
        self.one.advance();
        self.meet();
        self.doc()
    }

    fn seek(&mut self, target: u32) -> u32 {
        self.one.seek(target);
        self.meet();
        self.doc()
    }

    fn doc(&self) -> u32 {
        self.one.doc()
    }

    fn size_hint(&self) -> u32 {
        self.one.size_hint()
    }
}
