//! The questions of a case: drawn from the files themselves, so that a name is asked for as often as
//! it occurs, and kept in the forms that cardex and its peers hold ready before they are timed.

use cardex::{Query, QueryBuilder};

use crate::common::Random;
use crate::common::corpus::{Corpus, Field, Term};
use crate::lists::Lists;

/// How many files an answer lists.
pub(crate) const LIMIT: usize = 20;
/// How many questions a case asks: enough that what they touch does not fit the processor's second
/// cache, as in a program that asks about all of a tree.
const QUESTIONS: usize = 4096;
/// Names counted as frequent: the first so many of the functions by files.
const FREQUENT: usize = 200;

/// One question: files in the language, if there is one, that hold every term; or what its query says
/// of them.
#[derive(Debug)]
pub(crate) struct Question {
    /// As cardex takes it, limited to the first [`LIMIT`].
    pub(crate) query: Query,
    pub(crate) language: Option<u16>,
    pub(crate) terms: Vec<NamedTerm>,
}

#[derive(Debug)]
pub(crate) struct NamedTerm {
    pub(crate) field: Field,
    pub(crate) term: Term,
    pub(crate) name: String,
    /// How many files hold it: whoever wants to start with the rarest is told for free.
    pub(crate) files: usize,
}

/// Draws the questions of a case.
pub(crate) struct Drawer<'c> {
    pub(crate) corpus: &'c Corpus,
    pub(crate) lists: &'c Lists,
    pub(crate) random: Random,
}

impl Drawer<'_> {
    /// The language of a file and a function of it.
    pub(crate) fn language_function(&mut self) -> Vec<Question> {
        self.draw(|drawer, file| {
            let function = drawer.any(file, Field::Function)?;
            drawer.question(
                Some(drawer.corpus.language(file)?),
                &[(Field::Function, function)],
            )
        })
    }

    /// One of the most frequent functions, and the language of a file that holds it.
    pub(crate) fn language_frequent(&mut self) -> Vec<Question> {
        let functions = self.lists.by_files(Field::Function);
        self.draw(|drawer, _| {
            let function = functions[drawer.random.below(FREQUENT)];
            let files = drawer.lists.files(Field::Function, function);
            let file = files[drawer.random.below(files.len())] as usize;
            drawer.question(
                Some(drawer.corpus.language(file)?),
                &[(Field::Function, function)],
            )
        })
    }

    /// The language of one file and a function of another.
    pub(crate) fn language_foreign(&mut self) -> Vec<Question> {
        self.draw(|drawer, file| {
            let other = drawer.random.below(drawer.corpus.len());
            let function = drawer.any(other, Field::Function)?;
            drawer.question(
                Some(drawer.corpus.language(file)?),
                &[(Field::Function, function)],
            )
        })
    }

    /// The language of a file, a class of it and a document that it cites.
    pub(crate) fn language_class_reference(&mut self) -> Vec<Question> {
        self.draw(|drawer, file| {
            let class = drawer.any(file, Field::Class)?;
            let document = drawer.any(file, Field::Reference)?;
            drawer.question(
                Some(drawer.corpus.language(file)?),
                &[(Field::Class, class), (Field::Reference, document)],
            )
        })
    }

    /// Two functions of a file.
    pub(crate) fn two_functions(&mut self) -> Vec<Question> {
        self.draw(|drawer, file| {
            let one = drawer.any(file, Field::Function)?;
            let two = drawer.any(file, Field::Function)?;
            if one == two {
                return None;
            }
            drawer.question(None, &[(Field::Function, one), (Field::Function, two)])
        })
    }

    /// A function of one file, or one of another.
    pub(crate) fn either_function(&mut self) -> Vec<Question> {
        self.draw(|drawer, file| {
            let other = drawer.random.below(drawer.corpus.len());
            let (one, two) = drawer.two(file, other)?;
            let query = Query::builder().any_of([function(&one), function(&two)]);
            Some(grouped(query, None, [one, two]))
        })
    }

    /// The same, in the language of the first.
    pub(crate) fn language_either_function(&mut self) -> Vec<Question> {
        self.draw(|drawer, file| {
            let language = drawer.corpus.language(file)?;
            let other = drawer.random.below(drawer.corpus.len());
            let (one, two) = drawer.two(file, other)?;
            let query = Query::builder()
                .language(&drawer.corpus.languages()[usize::from(language)])
                .any_of([function(&one), function(&two)]);
            Some(grouped(query, Some(language), [one, two]))
        })
    }

    /// A function without another one of the same file.
    pub(crate) fn function_without_function(&mut self) -> Vec<Question> {
        self.draw(|drawer, file| {
            let (one, two) = drawer.two(file, file)?;
            let query = Query::builder().function(&one.name).not(function(&two));
            Some(grouped(query, None, [one, two]))
        })
    }

    /// One of the most frequent functions, outside of the language of a file that holds it.
    pub(crate) fn function_without_language(&mut self) -> Vec<Question> {
        let functions = self.lists.by_files(Field::Function);
        self.draw(|drawer, _| {
            let function = functions[drawer.random.below(FREQUENT)];
            let files = drawer.lists.files(Field::Function, function);
            let file = files[drawer.random.below(files.len())] as usize;
            let language = drawer.corpus.language(file)?;
            let (one, two) = (drawer.named(function)?, drawer.named(function)?);
            let name = &drawer.corpus.languages()[usize::from(language)];
            let denied = Query::builder().language(name).build();
            let query = Query::builder().function(&one.name);
            let query = query.not(denied.expect("a language has a name"));
            Some(grouped(query, Some(language), [one, two]))
        })
    }

    /// A function of each of these files; not the same one.
    fn two(&mut self, file: usize, other: usize) -> Option<(NamedTerm, NamedTerm)> {
        let one = self.any(file, Field::Function)?;
        let two = self.any(other, Field::Function)?;
        (one != two).then_some(())?;
        Some((self.named(one)?, self.named(two)?))
    }

    /// A function that is no method.
    fn named(&self, term: Term) -> Option<NamedTerm> {
        let field = Field::Function;
        let name = self.corpus.name(field, term).into_owned();
        (!name.contains('.')).then(|| NamedTerm {
            field,
            term,
            name,
            files: self.lists.files(field, term).len(),
        })
    }

    /// Two dense lists, to be counted: the first language with the first document, and the first
    /// two documents.
    pub(crate) fn dense(&mut self) -> [(&'static str, Vec<Question>); 2] {
        let documents = self.lists.by_files(Field::Reference);
        let language = self.lists.first_language();
        let (one, two) = (documents[0], documents[1]);
        let ask = |language, terms: &[_]| {
            let question = self.question(language, terms);
            vec![question.expect("documents are no methods")]
        };
        [
            ("lang+ref", ask(Some(language), &[(Field::Reference, one)])),
            (
                "ref+ref",
                ask(None, &[(Field::Reference, one), (Field::Reference, two)]),
            ),
        ]
    }

    fn draw(&mut self, mut one: impl FnMut(&mut Self, usize) -> Option<Question>) -> Vec<Question> {
        let mut questions = Vec::new();
        while questions.len() < QUESTIONS {
            let file = self.random.below(self.corpus.len());
            questions.extend(one(self, file));
        }
        questions
    }

    fn any(&mut self, file: usize, field: Field) -> Option<Term> {
        let terms: Vec<Term> = self.corpus.terms(file, field).collect();
        (!terms.is_empty()).then(|| terms[self.random.below(terms.len())])
    }

    fn question(&self, language: Option<u16>, terms: &[(Field, Term)]) -> Option<Question> {
        let mut query = Query::builder().limit(LIMIT);
        if let Some(language) = language {
            query = query.language(&self.corpus.languages()[usize::from(language)]);
        }
        let mut named = Vec::new();
        for &(field, term) in terms {
            let name = self.corpus.name(field, term).into_owned();
            query = match field {
                // `A.b` also asks for the method of a class, which the peers know nothing of.
                Field::Function if name.contains('.') => return None,
                Field::Function => query.function(&name),
                Field::Class => query.class(&name),
                Field::Reference => query.reference(&name),
            };
            let files = self.lists.files(field, term).len();
            named.push(NamedTerm {
                field,
                term,
                name,
                files,
            });
        }
        Some(Question {
            query: query.build().expect("names are not empty"),
            language,
            terms: named,
        })
    }
}

fn function(term: &NamedTerm) -> Query {
    let query = Query::builder().function(&term.name).build();
    query.expect("names are not empty")
}

fn grouped(query: QueryBuilder, language: Option<u16>, terms: [NamedTerm; 2]) -> Question {
    Question {
        query: query.limit(LIMIT).build().expect("groups have criteria"),
        language,
        terms: terms.into(),
    }
}
