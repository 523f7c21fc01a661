//! Who asks, and the build that asks for them.

use greenroom_exposure::{Attribute, Context};

/// Names under which a build is known to rules.
const SERVICE: &str = "app.service";
const COMPONENT: &str = "app.component";
const VERSION: &str = "app.version";

/// The build that this process runs: what is exposed per instance depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub service: String,
    pub version: String,
    pub component: Option<String>,
}

impl Build {
    /// `service@version`, as reports name it.
    pub(crate) fn label(&self) -> String {
        format!("{}@{}", self.service, self.version)
    }
}

/// A caller's own attributes, and the build's where the caller says nothing.
pub(crate) struct Caller<'a, C: ?Sized> {
    pub context: &'a C,
    pub build: Option<&'a Build>,
}

impl<C: Context + ?Sized> Context for Caller<'_, C> {
    fn targeting_key(&self) -> Option<&str> {
        self.context.targeting_key()
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        self.context.attribute(name).or_else(|| {
            let build = self.build?;
            match name {
                SERVICE => Some(Attribute::Text(&build.service)),
                VERSION => Some(Attribute::Text(&build.version)),
                COMPONENT => build.component.as_deref().map(Attribute::Text),
                _ => None,
            }
        })
    }
}
