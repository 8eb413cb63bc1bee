//! `InitializationContext`: what a component sees of its host while it starts. These are its own
//! dependencies and nothing else, so that the order of the start never depends on luck.

use std::any::type_name;
use std::sync::Arc;

use super::{Component, typed};
use crate::error::{Error, ErrorKind, Result};

/// The host, as seen by one component that is being started.
#[derive(Clone, Copy, Debug)]
pub struct InitializationContext<'a> {
    component: &'a str,
    dependencies: &'a [(&'a str, Arc<dyn Component>)],
}

impl<'a> InitializationContext<'a> {
    pub(super) fn new(
        component: &'a str,
        dependencies: &'a [(&'a str, Arc<dyn Component>)],
    ) -> Self {
        InitializationContext {
            component,
            dependencies,
        }
    }

    /// The name under which the component is registered.
    pub fn component(&self) -> &'a str {
        self.component
    }

    /// Whether this was declared as a dependency when the component was registered.
    pub fn depends_on(&self, name: &str) -> bool {
        self.dependencies.iter().any(|(known, _)| *known == name)
    }

    /// A dependency, which runs already. It may be kept until the component is shut down.
    ///
    /// # Errors
    /// `Component`, naming both, if it is not among the dependencies that were declared when the
    /// component was registered, or is of another type than `C`.
    pub fn dependency<C: Component>(&self, name: &str) -> Result<Arc<C>> {
        let asking = self.component;
        let declared = self.dependencies.iter().find(|(known, _)| *known == name);
        let (_, dependency) = declared.ok_or_else(|| {
            let message = format!("`{asking}` asks for `{name}` and does not depend on it");
            let help = format!("register `{asking}` with `{name}` among its dependencies");
            Error::new(ErrorKind::Component, message).with_help(help)
        })?;
        typed(Arc::clone(dependency)).ok_or_else(|| {
            let wanted = type_name::<C>();
            let message = format!("`{asking}` wants `{name}` to be a {wanted}, and it is not");
            Error::new(ErrorKind::Component, message)
        })
    }
}
