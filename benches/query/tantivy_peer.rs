//! tantivy in memory: one segment whose documents are in path order, fields without tokens, norms or
//! frequencies, and the language also as a column. Three ways to the first files are offered, all below the
//! searcher and its collectors, because only so can a search stop after the first files; a case is
//! raced against the one that is fastest for it.

use std::sync::Arc;

use ::tantivy::columnar::ColumnValues;
use ::tantivy::directory::RamDirectory;
use ::tantivy::postings::SegmentPostings;
use ::tantivy::query::{BooleanQuery, EnableScoring, Query, TermQuery, Weight};
use ::tantivy::schema::{
    FAST, Field as Id, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use ::tantivy::{
    DocSet, Index, InvertedIndexReader, Result, SegmentReader, TERMINATED, TantivyDocument, Term,
};

use crate::common::corpus::{Corpus, FIELDS, Field};
use crate::questions::{LIMIT, Question};

/// Enough to write a million files into one segment.
const WRITER_BYTES: usize = 3 << 30;

pub(crate) struct Tantivy {
    segment: SegmentReader,
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
        let segment = searcher.segment_readers()[0].clone();
        let lists = ids
            .iter()
            .map(|&id| segment.inverted_index(id))
            .collect::<Result<_>>()?;
        let languages = segment.fast_fields().u64("language_number")?;
        Ok(Tantivy {
            lists,
            languages: languages.first_or_default_col(u64::MAX),
            segment,
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
        let all = terms
            .iter()
            .map(|(_, term)| term)
            .chain(language.as_ref().map(|(_, term)| term));
        let all = all.map(|term| {
            Box::new(TermQuery::new(term.clone(), IndexRecordOption::Basic)) as Box<dyn Query>
        });
        let query = BooleanQuery::intersection(all.collect());
        let schema = self.segment.schema();
        let weight = query.weight(EnableScoring::disabled_from_schema(schema))?;
        Ok(Prepared {
            terms,
            language,
            weight,
        })
    }
}

/// A way to find the first files.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// The names' lists, and the language by its column.
    Column,
    /// Every list, also the language's.
    Lists,
    /// tantivy's own intersection, of a boolean query.
    Scorer,
}

pub(crate) const WAYS: [Way; 3] = [Way::Column, Way::Lists, Way::Scorer];

struct Prepared {
    /// Rarest first, each with the number of its field.
    terms: Vec<(usize, Term)>,
    language: Option<(u64, Term)>,
    weight: Box<dyn Weight>,
}

/// Questions with everything ready that can be before they are asked.
pub(crate) struct Asker<'t> {
    tantivy: &'t Tantivy,
    questions: Vec<Prepared>,
}

impl Asker<'_> {
    pub(crate) fn first(&self, way: Way, at: usize, found: &mut Vec<u32>) -> Result<()> {
        let question = &self.questions[at];
        let mut lists: [Option<SegmentPostings>; 3] = [None, None, None];
        let mut count = 0;
        let wanted = question.terms.iter().map(|(field, term)| (*field, term));
        let language = question
            .language
            .as_ref()
            .filter(|_| matches!(way, Way::Lists));
        match way {
            Way::Scorer => {
                let mut scorer = question.weight.scorer(&self.tantivy.segment, 1.0)?;
                while found.len() < LIMIT && scorer.doc() != TERMINATED {
                    found.push(scorer.doc());
                    scorer.advance();
                }
                return Ok(());
            }
            Way::Column | Way::Lists => {}
        }
        for (field, term) in wanted.chain(language.map(|(_, term)| (3, term))) {
            let list = self.tantivy.lists[field].read_postings(term, IndexRecordOption::Basic)?;
            let Some(list) = list else { return Ok(()) };
            lists[count] = Some(list);
            count += 1;
        }
        let column = question
            .language
            .as_ref()
            .filter(|_| matches!(way, Way::Column));
        let keep =
            |file| column.is_none_or(|(number, _)| self.tantivy.languages.get_val(file) == *number);
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
        Ok(self.questions[at]
            .weight
            .count(&self.tantivy.segment)?
            .into())
    }
}

fn first(mut list: impl DocSet, keep: impl Fn(u32) -> bool, found: &mut Vec<u32>) {
    while found.len() < LIMIT && list.doc() != TERMINATED {
        if keep(list.doc()) {
            found.push(list.doc());
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
