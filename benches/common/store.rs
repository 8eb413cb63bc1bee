//! `CorpusStore`: a corpus as a store, without a database. It can only be scanned, and its files can
//! be touched: then the log names them, with the names that they had.

use std::sync::Arc;
use std::sync::Mutex;

use cardex::store::{
    ChangeSet, Fetched, MetadataStore, Removal, RowSink, ScanReport, Stored, Versioned, Write,
};
use cardex::{
    FileMetadata, FilePath, FileState, Index, Position, Result, Synchronizer, SystemClock,
};

use super::corpus::Corpus;

#[derive(Debug)]
pub(crate) struct CorpusStore {
    corpus: Arc<Corpus>,
    /// The files touched, in the order of the log, which begins after one change a file.
    touched: Mutex<Vec<usize>>,
}

impl CorpusStore {
    /// The store of a corpus, and an index over it that is up to date.
    pub(crate) fn indexed(corpus: &Arc<Corpus>) -> (Arc<Self>, Arc<Index>, Synchronizer) {
        let store = Arc::new(CorpusStore {
            corpus: Arc::clone(corpus),
            touched: Mutex::default(),
        });
        let index = Arc::new(Index::new().expect("a thread can be started"));
        let clock = Arc::new(SystemClock);
        let sync = Synchronizer::new(Arc::clone(&store) as _, Arc::clone(&index), clock);
        sync.full().expect("a corpus can be scanned");
        (store, index, sync)
    }

    /// Logs a change of each of these files.
    pub(crate) fn touch(&self, files: impl IntoIterator<Item = usize>) {
        self.touched.lock().expect("nobody panicked").extend(files);
    }

    fn report(&self, files: usize, touched: usize) -> ScanReport {
        ScanReport {
            position: Position {
                epoch: 1,
                sequence: (self.corpus.len() + touched) as u64,
            },
            files: files as u64,
            ..ScanReport::default()
        }
    }
}

impl MetadataStore for CorpusStore {
    fn scan(&self, sink: &mut dyn RowSink) -> Result<ScanReport> {
        let mut path = String::new();
        for file in 0..self.corpus.len() {
            self.corpus.emit(file, file as u64 + 1, &mut path, sink);
        }
        Ok(self.report(self.corpus.len(), 0))
    }

    fn scan_changes(&self, since: Position, sink: &mut dyn RowSink) -> Result<ScanReport> {
        let touched = self.touched.lock().expect("nobody panicked");
        let mut path = String::new();
        let seen = since.sequence as usize - self.corpus.len();
        for (at, &file) in touched.iter().enumerate().skip(seen) {
            let version = (self.corpus.len() + at + 1) as u64;
            self.corpus.emit(file, version, &mut path, sink);
        }
        Ok(self.report(touched.len() - seen, touched.len()))
    }

    fn head(&self) -> Result<Position> {
        let touched = self.touched.lock().expect("nobody panicked").len();
        Ok(self.report(0, touched).position)
    }

    fn fetch(&self, _: &[FilePath]) -> Result<Fetched> {
        unimplemented!("benches only scan a corpus")
    }

    fn changes(&self, _: Position, _: usize) -> Result<ChangeSet> {
        unimplemented!("benches only scan a corpus")
    }

    fn newest(&self, _: usize) -> Result<Vec<FilePath>> {
        unimplemented!("benches only scan a corpus")
    }

    fn put(&self, _: &FileMetadata) -> Result<Stored> {
        unimplemented!("benches only scan a corpus")
    }

    fn remove(&self, _: &FilePath) -> Result<Removal> {
        unimplemented!("benches only scan a corpus")
    }

    fn write(&self, _: &[Write]) -> Result<Position> {
        unimplemented!("benches only scan a corpus")
    }

    fn for_each(&self, _: &mut dyn FnMut(Versioned) -> Result<()>) -> Result<ScanReport> {
        unimplemented!("benches only scan a corpus")
    }

    fn file_states(&self) -> Result<Vec<FileState>> {
        unimplemented!("benches only scan a corpus")
    }
}
