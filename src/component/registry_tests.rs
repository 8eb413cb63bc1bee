//! The rules of a registry, told by components that write down what happens to them.

use std::sync::mpsc;
use std::time::Duration;

use super::logged::logged;
use super::*;
use crate::error::{Error, ErrorKind};
use crate::primitives::{Mutex, thread};

const DEADLINE: Duration = Duration::from_secs(10);

/// What happened, in order: `+name` for an initialize, `-name` for a shutdown.
type Diary = Arc<Mutex<Vec<String>>>;

/// What a verb does besides writing it down.
type Act = Box<dyn Fn(&InitializationContext<'_>) -> Result<()> + Send + Sync>;

struct Probe {
    name: &'static str,
    diary: Diary,
    on_initialize: Act,
    on_shutdown: Box<dyn Fn() -> Result<()> + Send + Sync>,
}

impl Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Component for Probe {
    fn name(&self) -> &str {
        self.name
    }

    fn initialize(&self, context: &InitializationContext<'_>) -> Result<()> {
        self.diary.lock().push(format!("+{}", self.name));
        (self.on_initialize)(context)
    }

    fn shutdown(&self) -> Result<()> {
        self.diary.lock().push(format!("-{}", self.name));
        (self.on_shutdown)()
    }

    fn is_initialized(&self) -> bool {
        let diary = self.diary.lock();
        diary.iter().rfind(|line| line[1..] == *self.name) == Some(&format!("+{}", self.name))
    }
}

/// Another type of component.
#[derive(Debug)]
struct Other;

impl Component for Other {
    fn name(&self) -> &str {
        "other"
    }

    fn initialize(&self, _: &InitializationContext<'_>) -> Result<()> {
        Ok(())
    }

    fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    fn is_initialized(&self) -> bool {
        true
    }
}

#[derive(Default)]
struct Host {
    registry: Arc<ComponentRegistry>,
    diary: Diary,
}

impl Host {
    fn probe(&self, name: &'static str) -> Probe {
        Probe {
            name,
            diary: Arc::clone(&self.diary),
            on_initialize: Box::new(|_| Ok(())),
            on_shutdown: Box::new(|| Ok(())),
        }
    }

    /// Registers a component that only writes down what happens.
    fn has(&self, name: &'static str, dependencies: &[&str]) {
        let probe = Arc::new(self.probe(name));
        self.registry.register(probe, dependencies, true).unwrap();
    }

    fn has_one_that_initializes(
        &self,
        name: &'static str,
        dependencies: &[&str],
        act: impl Fn(&InitializationContext<'_>) -> Result<()> + Send + Sync + 'static,
    ) {
        let mut probe = self.probe(name);
        probe.on_initialize = Box::new(act);
        let probe = Arc::new(probe);
        self.registry.register(probe, dependencies, true).unwrap();
    }

    fn has_one_that_shuts_down(
        &self,
        name: &'static str,
        act: impl Fn() -> Result<()> + Send + Sync + 'static,
    ) {
        let mut probe = self.probe(name);
        probe.on_shutdown = Box::new(act);
        let probe = Arc::new(probe);
        self.registry.register(probe, &[], true).unwrap();
    }

    /// What happened since this was asked last.
    fn told(&self) -> String {
        std::mem::take(&mut *self.diary.lock()).join(" ")
    }

    fn states(&self) -> Vec<(String, ComponentState)> {
        let infos = self.registry.list().into_iter();
        infos.map(|info| (info.name, info.state)).collect()
    }
}

fn fault(message: &str) -> Error {
    Error::new(ErrorKind::Database, message)
}

#[test]
fn components_start_after_their_dependencies_and_stop_in_exact_reverse() {
    let host = Host::default();
    host.has("cache", &["database", "config"]);
    host.has("database", &["config"]);
    host.has("clock", &[]);
    host.has("config", &[]);
    host.registry.start().unwrap();
    assert!(host.registry.component("cache").unwrap().is_initialized());
    assert_eq!(host.told(), "+clock +config +database +cache");
    host.registry.stop().unwrap();
    assert_eq!(host.told(), "-cache -database -config -clock");
}

#[test]
fn all_problems_are_reported_together_before_anything_starts() {
    let host = Host::default();
    host.has("fine", &[]);
    host.has("cache", &["databse", "off", "cache"]);
    host.has("database", &["disk"]);
    host.has("disk", &["database"]);
    let off = Arc::new(host.probe("off"));
    host.registry.register(off, &[], false).unwrap();
    let error = host.registry.start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Component);
    assert_eq!(
        error.to_string(),
        "the components cannot start: `cache` depends on `databse`, which is not registered (did \
         you mean `database`?); `cache` depends on `off`, which is disabled; `cache` depends on \
         itself; the components depend on each other in a circle: `database` -> `disk` -> \
         `database`"
    );
    assert_eq!(host.told(), "");
    assert!(!host.registry.is_started());
}

#[test]
fn a_name_is_taken_once_and_is_never_empty() {
    let host = Host::default();
    host.has("twice", &[]);
    for (name, part) in [
        ("twice", "`twice` is registered already"),
        ("", "empty name"),
        (" ", "empty name"),
    ] {
        let probe = Arc::new(host.probe(name));
        let error = host.registry.register(probe, &[], true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Component);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(host.registry.list().len(), 1);
}

#[test]
fn a_disabled_component_is_known_and_never_started() {
    let host = Host::default();
    let off = Arc::new(host.probe("off"));
    host.registry.register(off, &["nowhere"], false).unwrap();
    host.registry.start().unwrap();
    assert_eq!(host.told(), "");
    assert_eq!(
        host.states(),
        [("off".to_owned(), ComponentState::Disabled)]
    );
    host.registry.stop().unwrap();
    assert_eq!(host.told(), "");
}

#[test]
fn a_failure_rolls_back_the_failing_one_and_then_the_started_ones_in_reverse() {
    let host = Host::default();
    host.has("a", &[]);
    host.has("b", &[]);
    host.has_one_that_initializes("c", &[], |_| {
        Err(fault("disk on fire").with_help("get water"))
    });
    host.has("d", &[]);
    let error = host.registry.start().unwrap_err();
    assert_eq!(host.told(), "+a +b +c -c -b -a");
    assert_eq!(error.kind(), ErrorKind::Database);
    assert_eq!(
        error.to_string(),
        "component `c` did not start: disk on fire"
    );
    assert_eq!(error.help(), Some("get water"));
    assert!(!host.registry.is_started());
    let stopped = |(_, state): &(String, ComponentState)| *state == ComponentState::Stopped;
    assert!(host.states().iter().all(stopped));
}

#[test]
fn a_rollback_keeps_the_first_error_and_logs_the_later_ones() {
    let host = Host::default();
    host.has_one_that_shuts_down("a", || Err(fault("second")));
    host.has_one_that_shuts_down("b", || panic!("third"));
    host.has_one_that_initializes("c", &[], |_| Err(fault("first")));
    let mut error = None;
    let lines = logged(|| error = host.registry.start().err());
    assert_eq!(host.told(), "+a +b +c -c -b -a");
    assert_eq!(
        format!("{:#}", error.unwrap()),
        "component `c` did not start: first"
    );
    let told = |part: &str| lines.iter().position(|line| line.contains(part));
    let (first, second) = (told("first").unwrap(), told("second").unwrap());
    let third = told("it panicked: third").unwrap();
    assert!(first < third && third < second, "{lines:?}");
    assert!(lines[second].starts_with("ERROR "), "{lines:?}");
}

#[test]
fn a_start_that_failed_can_be_tried_again() {
    let host = Host::default();
    let failed = Mutex::new(false);
    host.has("a", &[]);
    host.has_one_that_initializes("b", &["a"], move |_| {
        let mut failed = failed.lock();
        if std::mem::replace(&mut *failed, true) {
            Ok(())
        } else {
            Err(fault("once"))
        }
    });
    host.registry.start().unwrap_err();
    host.registry.start().unwrap();
    assert_eq!(host.told(), "+a +b -b -a +a +b");
}

#[test]
fn a_panic_in_initialize_or_shutdown_is_an_error_that_names_the_component() {
    let host = Host::default();
    host.has_one_that_shuts_down("late", || panic!("no {}", "brakes"));
    host.registry.start().unwrap();
    let error = host.registry.stop().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Component);
    assert_eq!(
        error.to_string(),
        "component `late` did not shut down well: it panicked: no brakes"
    );
    host.has_one_that_initializes("early", &["late"], |_| panic!("no fuel"));
    let error = host.registry.start().unwrap_err();
    assert_eq!(
        error.to_string(),
        "component `early` did not start: it panicked: no fuel"
    );
    assert_eq!(host.told(), "+late -late +late +early -early -late");
}

#[test]
fn stop_goes_on_past_errors_and_returns_the_first_with_the_number_of_all() {
    let host = Host::default();
    host.has_one_that_shuts_down("a", || Err(fault("of a")));
    host.has("b", &[]);
    host.has_one_that_shuts_down("c", || panic!("of c"));
    host.has_one_that_shuts_down("d", || Err(fault("of d")));
    host.registry.start().unwrap();
    host.told();
    let error = host.registry.stop().unwrap_err();
    assert_eq!(host.told(), "-d -c -b -a");
    assert_eq!(error.kind(), ErrorKind::Database);
    assert_eq!(
        error.to_string(),
        "3 components failed, first: component `d` did not shut down well: of d"
    );
    host.registry.stop().unwrap();
    assert_eq!(host.told(), "", "they count as stopped");
}

#[test]
fn start_and_stop_are_idempotent_and_start_after_stop_is_legal() {
    let host = Host::default();
    host.has("a", &[]);
    host.registry.stop().unwrap();
    assert_eq!(host.told(), "");
    for _ in 0..2 {
        host.registry.start().unwrap();
        host.registry.start().unwrap();
        assert_eq!(host.states(), [("a".to_owned(), ComponentState::Running)]);
        host.registry.stop().unwrap();
        host.registry.stop().unwrap();
        assert_eq!(host.told(), "+a -a");
    }
}

#[test]
fn nothing_is_registered_while_components_run() {
    let host = Host::default();
    let registry = Arc::downgrade(&host.registry);
    host.has_one_that_initializes("a", &[], move |_| {
        let registry = registry.upgrade().unwrap();
        registry.register(Arc::new(Other), &[], true)
    });
    let error = host.registry.start().unwrap_err();
    assert!(
        error.to_string().contains("`other` cannot be registered"),
        "{error}"
    );
    let host = Host::default();
    host.registry.start().unwrap();
    let error = host
        .registry
        .register(Arc::new(Other), &[], true)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Component);
    host.registry.stop().unwrap();
    host.registry.register(Arc::new(Other), &[], true).unwrap();
}

#[test]
fn a_component_that_starts_or_stops_its_host_gets_an_error_and_no_deadlock() {
    for verb in [ComponentRegistry::start, ComponentRegistry::stop] {
        let host = Host::default();
        let registry = Arc::downgrade(&host.registry);
        host.has_one_that_initializes("a", &[], move |_| verb(&registry.upgrade().unwrap()));
        let error = host.registry.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Component);
        assert!(
            error.to_string().contains("component `a` did not start"),
            "{error}"
        );
    }
    let host = Host::default();
    let registry = Arc::downgrade(&host.registry);
    host.has_one_that_shuts_down("b", move || registry.upgrade().unwrap().stop());
    host.registry.start().unwrap();
    assert_eq!(
        host.registry.stop().unwrap_err().kind(),
        ErrorKind::Component
    );
    assert!(!host.registry.is_started());
}

#[test]
fn a_component_may_look_others_up_while_it_starts() {
    let host = Host::default();
    let registry = Arc::downgrade(&host.registry);
    host.has("first", &[]);
    host.has_one_that_initializes("second", &["first"], move |_| {
        let registry = registry.upgrade().unwrap();
        assert!(registry.component("first").unwrap().is_initialized());
        let states: Vec<_> = registry.list().iter().map(|info| info.state).collect();
        assert_eq!(states, [ComponentState::Running, ComponentState::Stopped]);
        assert!(!registry.is_started());
        Ok(())
    });
    host.registry.start().unwrap();
}

#[test]
fn a_stop_waits_for_the_start_in_progress_on_another_thread() {
    let host = Host::default();
    let (entered, hears_entered) = mpsc::channel();
    let (go, hears_go) = mpsc::channel();
    let hears_go = Mutex::new(hears_go);
    host.has_one_that_initializes("slow", &[], move |_| {
        entered.send(()).unwrap();
        hears_go.lock().recv_timeout(DEADLINE).unwrap();
        Ok(())
    });
    host.has("next", &["slow"]);
    thread::scope(|scope| {
        let starting = scope.spawn(|| host.registry.start());
        hears_entered.recv_timeout(DEADLINE).unwrap();
        let stopping = scope.spawn(|| host.registry.stop());
        assert!(
            host.registry.component("next").is_some(),
            "a look-up does not wait"
        );
        go.send(()).unwrap();
        starting.join().unwrap().unwrap();
        stopping.join().unwrap().unwrap();
    });
    assert_eq!(host.told(), "+slow +next -next -slow");
}

#[test]
fn many_threads_may_start_and_stop_and_each_component_lives_one_life_at_a_time() {
    let host = Host::default();
    host.has("a", &[]);
    host.has("b", &["a"]);
    let registry = &host.registry;
    thread::scope(|scope| {
        for verb in [ComponentRegistry::start, ComponentRegistry::stop] {
            for _ in 0..2 {
                scope.spawn(move || (0..50).for_each(|_| verb(registry).unwrap()));
            }
        }
    });
    host.registry.stop().unwrap();
    let lives = host.told();
    let one_life = "+a +b -b -a".split(' ').cycle();
    assert!(
        lives
            .split(' ')
            .zip(one_life)
            .all(|(told, expected)| told == expected),
        "{lives}"
    );
    assert!(lives.ends_with("-a"), "{lives}");
}

#[test]
fn only_declared_dependencies_are_given_and_by_their_type() {
    let host = Host::default();
    host.has("probe", &[]);
    host.registry.register(Arc::new(Other), &[], true).unwrap();
    host.has_one_that_initializes("asks", &["probe"], |context| {
        assert_eq!(context.component(), "asks");
        assert_eq!(context.dependency::<Probe>("probe")?.name(), "probe");
        let error = context.dependency::<Other>("other").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`asks` asks for `other` and does not depend on it"
        );
        let error = context.dependency::<Other>("probe").unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("`asks` wants `probe` to be a cardex::"),
            "{message}"
        );
        assert_eq!(error.kind(), ErrorKind::Component);
        Ok(())
    });
    host.registry.start().unwrap();
}

#[test]
fn a_component_is_found_by_name_and_type() {
    let host = Host::default();
    host.has("database", &[]);
    let registry = &host.registry;
    assert_eq!(
        registry.get::<Probe>("database").unwrap().name(),
        "database"
    );
    let error = registry.get::<Other>("database").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Component);
    let error = registry.get::<Probe>("databas").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.help(), Some("did you mean `database`?"));
    assert!(registry.component("nobody").is_none());
}

#[test]
fn a_registry_that_is_dropped_stops_what_runs() {
    let host = Host::default();
    host.has("a", &[]);
    host.has("b", &["a"]);
    host.registry.start().unwrap();
    host.told();
    let Host { registry, diary } = host;
    drop(registry);
    assert_eq!(diary.lock().join(" "), "-b -a");
}
