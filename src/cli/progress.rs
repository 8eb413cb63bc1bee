//! The progress bar, on stderr, and only where a person looks at it.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use cardex::extract::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Global;
use super::format;

/// What is over sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often the bar is redrawn.
const TICK: Duration = Duration::from_millis(100);

/// The first files tell too little of the rest.
const ESTIMATE_AFTER: Duration = Duration::from_secs(2);
const SCANNING: &str = "Indexing {bar:28} {human_pos:>7}/{human_len} files  {msg}";

/// A bar that appears when the work takes long enough to ask for one.
pub(super) struct Bar {
    bar: ProgressBar,
    begin: Instant,
    started: bool,
    scanning: bool,
    estimating: bool,
    wanted: bool,
}

impl Bar {
    /// A bar about `root`, shown `at_once` or after a moment.
    pub(super) fn new(global: &Global, root: &Path, at_once: bool) -> Self {
        let wanted = !global.quiet && !global.no_progress && std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style("{spinner} Looking at {prefix} {elapsed}"));
        bar.set_prefix(root.display().to_string());
        let mut bar = Bar {
            bar,
            begin: Instant::now(),
            started: false,
            scanning: false,
            estimating: false,
            wanted,
        };
        if at_once {
            bar.start();
        }
        bar
    }

    fn start(&mut self) {
        if self.wanted && !self.started {
            self.started = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(TICK);
        }
    }

    /// Shows how far a scan is.
    pub(super) fn scan(&mut self, progress: &Progress) {
        if !self.started && self.begin.elapsed() > PATIENCE {
            self.start();
        }
        if !self.scanning {
            self.scanning = true;
            self.bar.set_style(style(SCANNING));
        }
        if !self.estimating && self.begin.elapsed() > ESTIMATE_AFTER {
            self.estimating = true;
            self.bar
                .set_style(style(&format!("{SCANNING}  {{eta}} left")));
        }
        self.bar.set_length(progress.files);
        self.bar.set_position(progress.done);
        self.bar.set_message(format::bytes(progress.bytes));
    }

    /// Shows a count of things that has no known end.
    pub(super) fn count(&mut self, text: String) {
        if !self.started && self.begin.elapsed() > PATIENCE {
            self.start();
            self.bar.set_style(style("{spinner} {msg}  {elapsed}"));
        }
        if self.started {
            self.bar.set_message(text);
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
