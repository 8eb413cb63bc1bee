//! `ComponentRegistry`: the components of a host, started in the order of their dependencies and
//! stopped in reverse. Who comes when is decided in `order`; here is who calls whom, one after the
//! other, and what happens when one fails.

use std::any::type_name;
use std::sync::Arc;

use super::order::{Node, start_order};
use super::{Component, InitializationContext, typed};
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught;
use crate::primitives::thread::{self, ThreadId};
use crate::primitives::{Condvar, Mutex};
use crate::suggest;

/// The components of a host.
///
/// [`start`](Self::start) and [`stop`](Self::stop) take turns: a call waits for one in progress on
/// another thread. The other verbs never wait for a component, so a component may use them at any
/// time. Dropping a registry stops what still runs.
#[derive(Debug, Default)]
pub struct ComponentRegistry {
    /// Held for a few words each, never while a component is called.
    state: Mutex<State>,
    turn_over: Condvar,
}

#[derive(Debug, Default)]
struct State {
    registered: Vec<Arc<Registered>>,
    /// Those that are initialized, in the order in which they were.
    running: Vec<Arc<Registered>>,
    started: bool,
    /// The thread that starts or stops components now.
    turn: Option<ThreadId>,
}

#[derive(Debug)]
struct Registered {
    name: String,
    dependencies: Vec<String>,
    enabled: bool,
    component: Arc<dyn Component>,
}

/// What a registry knows of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentInfo {
    /// Its name.
    pub name: String,
    /// The names that it depends on, as they were given.
    pub dependencies: Vec<String>,
    /// Where it is in its life.
    pub state: ComponentState,
}

/// Where a component is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ComponentState {
    /// It was registered as not to be started.
    Disabled,
    /// Its initialize was not called yet, or has not returned, or its shutdown has.
    Stopped,
    /// Its initialize has succeeded.
    Running,
}

impl ComponentRegistry {
    /// A registry without components.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component that is started after the ones it depends on, which may be registered later.
    /// One that is not `enabled` is never started. A dependency named twice counts once.
    ///
    /// # Errors
    /// `Component` if the name is empty or taken, or while components run; nothing is registered
    /// then. Whether the dependencies make sense is found at the start.
    pub fn register<C: Component>(
        &self,
        component: Arc<C>,
        dependencies: &[&str],
        enabled: bool,
    ) -> Result<()> {
        let name = component.name().to_owned();
        let refuse = |why: String| Err(Error::new(ErrorKind::Component, why));
        if name.trim().is_empty() {
            let of = type_name::<C>();
            return refuse(format!("a component cannot have the empty name: a {of}"));
        }
        let dependencies = dependencies.iter().map(|&name| name.to_owned()).collect();
        let registered = Arc::new(Registered {
            name,
            dependencies,
            enabled,
            component,
        });
        let name = &registered.name;
        let mut state = self.state.lock();
        if state.started || state.turn.is_some() {
            drop(state);
            let why = format!("`{name}` cannot be registered while components run");
            return refuse(why);
        }
        if state.named(name).is_some() {
            drop(state);
            return refuse(format!("a component named `{name}` is registered already"));
        }
        state.registered.push(registered);
        Ok(())
    }

    /// Initializes every enabled component, each after those that it depends on; of those that could
    /// come next, the one that was registered first does. Does nothing if they run already.
    ///
    /// If one fails or panics, it and then those before it are shut down, in reverse, and nothing
    /// runs; the start may be tried again.
    ///
    /// # Errors
    /// `Component` before anything starts, with every problem of the dependencies: missing,
    /// disabled, circular. Else the error of the first component that failed, by its name. `Component`
    /// too if a component calls this from its own initialize or shutdown.
    pub fn start(&self) -> Result<()> {
        let _turn = Turn::take(self, "start")?;
        let registered = {
            let state = self.state.lock();
            if state.started {
                return Ok(());
            }
            state.registered.clone()
        };
        for component in in_order(&registered)? {
            if let Err(error) = component.initialize(&registered) {
                tracing::error!("{error:#}");
                // It may have come half of the way.
                component
                    .shutdown()
                    .unwrap_or_else(|later| log_later(&later));
                let later = self.shut_down_running();
                later.iter().for_each(log_later);
                return Err(error);
            }
            tracing::debug!(component = component.name, "initialized");
            self.state.lock().running.push(Arc::clone(component));
        }
        self.state.lock().started = true;
        Ok(())
    }

    /// Shuts every running component down, in the exact reverse of the order in which they were
    /// initialized. Does nothing if none runs. They can be started again.
    ///
    /// # Errors
    /// The error of the first that failed or panicked, by its name and with the number of those that
    /// failed after it; all the others are shut down nevertheless. `Component` if a component calls
    /// this from its own initialize or shutdown.
    pub fn stop(&self) -> Result<()> {
        let _turn = Turn::take(self, "stop")?;
        let errors = self.shut_down_running();
        self.state.lock().started = false;
        errors.iter().skip(1).for_each(log_later);
        let more = errors.len().saturating_sub(1);
        match errors.into_iter().next() {
            None => Ok(()),
            Some(first) if more == 0 => Err(first),
            Some(first) => Err(first.prefixed(&format!("{} components failed, first", more + 1))),
        }
    }

    /// A component by its name, whether it runs or not; `None` if there is none.
    pub fn component(&self, name: &str) -> Option<Arc<dyn Component>> {
        let state = self.state.lock();
        state.named(name).map(|found| Arc::clone(&found.component))
    }

    /// A component by its name and type, whether it runs or not.
    ///
    /// # Errors
    /// `NotFound` if there is none of that name, `Component` if it is of another type than `C`.
    pub fn get<C: Component>(&self, name: &str) -> Result<Arc<C>> {
        let Some(component) = self.component(name) else {
            let error = Error::new(
                ErrorKind::NotFound,
                format!("no component is named `{name}`"),
            );
            let infos = self.list();
            return Err(
                match suggest::nearest(name, infos.iter().map(|info| &*info.name)) {
                    Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
                    None => error,
                },
            );
        };
        typed(component).ok_or_else(|| {
            let message = format!("the component `{name}` is no {}", type_name::<C>());
            Error::new(ErrorKind::Component, message)
        })
    }

    /// Every component and its state, in the order of registration, of one instant.
    pub fn list(&self) -> Vec<ComponentInfo> {
        let state = self.state.lock();
        let info = |registered: &Arc<Registered>| ComponentInfo {
            name: registered.name.clone(),
            dependencies: registered.dependencies.clone(),
            state: state.of(registered),
        };
        state.registered.iter().map(info).collect()
    }

    /// Whether the last start has succeeded and no stop came since.
    pub fn is_started(&self) -> bool {
        self.state.lock().started
    }

    /// Shuts down what runs, the last one first, and returns what went wrong. Its caller has the
    /// turn.
    fn shut_down_running(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        while let Some(last) = self.last_running() {
            match last.shutdown() {
                Ok(()) => tracing::debug!(component = last.name, "shut down"),
                Err(error) => errors.push(error),
            }
            self.state.lock().running.pop();
        }
        errors
    }

    fn last_running(&self) -> Option<Arc<Registered>> {
        self.state.lock().running.last().cloned()
    }
}

impl Drop for ComponentRegistry {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!("{error:#}");
        }
    }
}

fn log_later(error: &Error) {
    tracing::error!("after an earlier error: {error:#}");
}

impl State {
    fn named(&self, name: &str) -> Option<&Arc<Registered>> {
        self.registered.iter().find(|known| known.name == name)
    }

    fn of(&self, registered: &Arc<Registered>) -> ComponentState {
        if !registered.enabled {
            ComponentState::Disabled
        } else if self
            .running
            .iter()
            .any(|running| Arc::ptr_eq(running, registered))
        {
            ComponentState::Running
        } else {
            ComponentState::Stopped
        }
    }
}

/// The enabled components in the order of their start; or one error with all that is wrong.
fn in_order(registered: &[Arc<Registered>]) -> Result<Vec<&Arc<Registered>>> {
    let nodes: Vec<Node<'_>> = registered.iter().map(|one| one.node()).collect();
    let order = start_order(&nodes).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let message = format!("the components cannot start: {}", problems.join("; "));
        Error::new(ErrorKind::Component, message)
    })?;
    Ok(order.into_iter().map(|at| &registered[at]).collect())
}

impl Registered {
    fn node(&self) -> Node<'_> {
        Node {
            name: &self.name,
            dependencies: &self.dependencies,
            enabled: self.enabled,
        }
    }

    fn initialize(&self, all: &[Arc<Registered>]) -> Result<()> {
        let declared = all
            .iter()
            .filter(|other| self.dependencies.contains(&other.name));
        let dependencies: Vec<_> = declared
            .map(|other| (&*other.name, Arc::clone(&other.component)))
            .collect();
        let context = InitializationContext::new(&self.name, &dependencies);
        caught(ErrorKind::Component, || self.component.initialize(&context))
            .map_err(|error| error.prefixed(&format!("component `{}` did not start", self.name)))
    }

    fn shutdown(&self) -> Result<()> {
        caught(ErrorKind::Component, || self.component.shutdown()).map_err(|error| {
            error.prefixed(&format!("component `{}` did not shut down well", self.name))
        })
    }
}

/// The right to start and stop components, given back when it is dropped.
struct Turn<'r>(&'r ComponentRegistry);

impl<'r> Turn<'r> {
    /// Waits until nobody else has it: at most for as long as the components take.
    fn take(registry: &'r ComponentRegistry, verb: &str) -> Result<Self> {
        let me = thread::current().id();
        let mut state = registry.state.lock();
        if state.turn == Some(me) {
            let message =
                format!("`{verb}` was called by a component that is being started or stopped");
            return Err(Error::new(ErrorKind::Component, message));
        }
        registry
            .turn_over
            .wait_while(&mut state, |state| state.turn.is_some());
        state.turn = Some(me);
        Ok(Turn(registry))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().turn = None;
        self.0.turn_over.notify_one();
    }
}
