//! `Corpus`: a tree of any number of files, made of the four corpora under one path prefix a copy
//! (`ws007/kafka/…`). Names and cited documents that at most two files of the corpora hold are
//! renamed in each copy but the first, as `nameWs7`: so the vocabulary grows as it does in real
//! trees, while frequent names stay shared. Files are numbered in path order.

use std::borrow::Cow;
use std::fmt::Write;

use cardex::store::RowSink;
use cardex::{FileMetadata, FilePath};
use hashbrown::HashMap;
use smol_str::SmolStr;

/// Repositories in the order of their names, which is also the order of their paths.
pub(crate) const ALL: [(&str, &[u8]); 4] = [
    ("kafka", include_bytes!("../data/kafka.jsonl.zst")),
    (
        "spring-boot",
        include_bytes!("../data/spring-boot.jsonl.zst"),
    ),
    ("telegraf", include_bytes!("../data/telegraf.jsonl.zst")),
    ("wagtail", include_bytes!("../data/wagtail.jsonl.zst")),
];

/// A name in this many files of the corpora or fewer belongs to one copy only.
const RARE: u32 = 2;

/// A field whose terms are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Function,
    Class,
    Reference,
}

pub(crate) const FIELDS: [Field; 3] = [Field::Function, Field::Class, Field::Reference];

/// The number of a name in its field: dense over all copies.
pub(crate) type Term = u32;

/// A tree of source files.
#[derive(Debug)]
pub(crate) struct Corpus {
    templates: Vec<Template>,
    /// By [`Field`].
    names: [Names; 3],
    languages: Vec<SmolStr>,
    len: usize,
}

#[derive(Debug)]
struct Template {
    record: FileMetadata,
    language: Option<u16>,
    /// The distinct names of the file, by [`Field`], as numbers of [`Names`].
    terms: [Vec<u32>; 3],
}

#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<SmolStr, u32>,
    texts: Vec<SmolStr>,
    files: Vec<u32>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.texts.len() as u32;
        let is_a_new_name = |(_, copy): (&str, &str)| !copy.bytes().all(|b| b.is_ascii_digit());
        assert!(name.rsplit_once("Ws").is_none_or(is_a_new_name), "{name}");
        self.numbers.insert(name.into(), number);
        self.texts.push(name.into());
        self.files.push(0);
        number
    }

    fn text(&self, number: u32, copy: usize) -> Cow<'_, str> {
        let text = self.texts[number as usize].as_str();
        if copy == 0 || self.files[number as usize] > RARE {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(format!("{text}Ws{copy}"))
        }
    }
}

impl Corpus {
    /// A tree of `len` files.
    pub(crate) fn new(len: usize) -> Self {
        Self::of(&ALL, len)
    }

    /// A tree of `len` files of these repositories.
    pub(crate) fn of(repositories: &[(&str, &[u8])], len: usize) -> Self {
        let mut corpus = Corpus {
            templates: Vec::new(),
            names: Default::default(),
            languages: Vec::new(),
            len,
        };
        for (repository, packed) in repositories {
            let lines = zstd::decode_all(*packed).expect("a corpus is zstd");
            for line in lines.split(|&byte| byte == b'\n').filter(|l| !l.is_empty()) {
                let mut record: FileMetadata =
                    serde_json::from_slice(line).expect("a corpus holds records");
                let path = format!("{repository}/{}", record.path);
                record.path = FilePath::new(&path).expect("a corpus holds normal paths");
                corpus.add(record);
            }
        }
        corpus
            .templates
            .sort_by(|a, b| a.record.path.cmp(&b.record.path));
        corpus
    }

    fn add(&mut self, mut record: FileMetadata) {
        fill(&mut record);
        let language = record.language.as_ref().map(|language| {
            let known = self.languages.iter().position(|known| known == language);
            known.unwrap_or_else(|| {
                self.languages.push(language.clone());
                self.languages.len() - 1
            }) as u16
        });
        let methods = record.classes.iter().flat_map(|class| &class.methods);
        let functions = record.functions.iter().chain(methods);
        let functions = functions.filter_map(|function| function.name.as_deref());
        let classes = record
            .classes
            .iter()
            .filter_map(|class| class.name.as_deref());
        let references = &record.header_sections.reference_documentation;
        let terms = [
            self.distinct(Field::Function, functions),
            self.distinct(Field::Class, classes),
            self.distinct(Field::Reference, references.iter().map(String::as_str)),
        ];
        self.templates.push(Template {
            record,
            language,
            terms,
        });
    }

    fn distinct<'n>(&mut self, field: Field, names: impl Iterator<Item = &'n str>) -> Vec<u32> {
        let known = &mut self.names[field as usize];
        let named = names.filter(|name| !name.is_empty());
        let mut numbers: Vec<u32> = named.map(|name| known.number(name)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for &number in &numbers {
            known.files[number as usize] += 1;
        }
        numbers
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn template(&self, file: usize) -> (&Template, usize) {
        let count = self.templates.len();
        (&self.templates[file % count], file / count)
    }

    /// The path of a file, written over `text`.
    pub(crate) fn path_into(&self, file: usize, text: &mut String) {
        let (template, copy) = self.template(file);
        text.clear();
        // Copies are numbered in three digits: a million files make 43 of them.
        write!(text, "ws{copy:03}/{}", template.record.path).expect("writing to a string");
    }

    pub(crate) fn path(&self, file: usize) -> String {
        let mut text = String::new();
        self.path_into(file, &mut text);
        text
    }

    /// The language of a file, as an index of [`Corpus::languages`].
    pub(crate) fn language(&self, file: usize) -> Option<u16> {
        self.template(file).0.language
    }

    pub(crate) fn languages(&self) -> &[SmolStr] {
        &self.languages
    }

    /// The distinct terms of a file.
    pub(crate) fn terms(&self, file: usize, field: Field) -> impl Iterator<Item = Term> + '_ {
        let (template, copy) = self.template(file);
        let names = &self.names[field as usize];
        template.terms[field as usize].iter().map(move |&number| {
            if names.files[number as usize] > RARE {
                number
            } else {
                number + (copy * names.texts.len()) as u32
            }
        })
    }

    /// One more than the highest term. Not every number below it is in use.
    pub(crate) fn term_count(&self, field: Field) -> usize {
        let copies = self.len.div_ceil(self.templates.len());
        self.names[field as usize].texts.len() * copies
    }

    /// The name of a term.
    pub(crate) fn name(&self, field: Field, term: Term) -> Cow<'_, str> {
        let names = &self.names[field as usize];
        let count = names.texts.len() as u32;
        names.text(term % count, (term / count) as usize)
    }

    /// Hands a file to a sink, with everything that an index needs of it.
    pub(crate) fn emit(
        &self,
        file: usize,
        version: u64,
        path: &mut String,
        sink: &mut dyn RowSink,
    ) {
        let (template, copy) = self.template(file);
        let record = &template.record;
        self.path_into(file, path);
        sink.file(path, record.language.as_deref(), version);
        let renamed = |field: Field, name: &str| {
            let names = &self.names[field as usize];
            match names.numbers.get(name) {
                Some(&number) => names.text(number, copy).into_owned(),
                None => String::new(),
            }
        };
        let function = |name: Option<&str>| renamed(Field::Function, name.unwrap_or_default());
        for free in &record.functions {
            sink.function(&function(free.name.as_deref()));
        }
        for (ordinal, class) in (0..).zip(&record.classes) {
            sink.class(
                ordinal,
                &renamed(Field::Class, class.name.as_deref().unwrap_or_default()),
            );
        }
        for (ordinal, class) in (0..).zip(&record.classes) {
            for method in &class.methods {
                sink.method(ordinal, &function(method.name.as_deref()));
            }
        }
        for document in &record.header_sections.reference_documentation {
            sink.reference(&renamed(Field::Reference, document));
        }
    }

    /// The record of a file.
    pub(crate) fn record(&self, file: usize) -> FileMetadata {
        let (template, copy) = self.template(file);
        let mut record = template.record.clone();
        record.path = FilePath::new(&self.path(file)).expect("paths are normal");
        let rename = |field: Field, name: &mut Option<SmolStr>| {
            let names = &self.names[field as usize];
            if let Some(&number) = name.as_deref().and_then(|name| names.numbers.get(name)) {
                *name = Some(names.text(number, copy).into());
            }
        };
        let methods = record
            .classes
            .iter_mut()
            .flat_map(|class| &mut class.methods);
        for function in record.functions.iter_mut().chain(methods) {
            rename(Field::Function, &mut function.name);
        }
        for class in &mut record.classes {
            rename(Field::Class, &mut class.name);
        }
        let names = &self.names[Field::Reference as usize];
        for document in &mut record.header_sections.reference_documentation {
            if let Some(&number) = names.numbers.get(document.as_str()) {
                *document = names.text(number, copy).into_owned();
            }
        }
        record
    }
}

/// Gives a record back what the corpora leave out, as filler of about the usual length: the intent of
/// two files in three, parameters of nearly every second function.
fn fill(record: &mut FileMetadata) {
    let seed = record.size_bytes.unwrap_or_default() as usize;
    if !seed.is_multiple_of(3) {
        record.header_sections.intent = Some("page list key ".repeat(1 + seed % 16));
    }
    let methods = record
        .classes
        .iter_mut()
        .flat_map(|class| &mut class.methods);
    for (at, function) in record.functions.iter_mut().chain(methods).enumerate() {
        if (seed + at).is_multiple_of(2) {
            function.parameters = vec!["String value".into(), "Options options".into()];
        }
    }
}
