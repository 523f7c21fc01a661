//! An operation in the form the steps need: everything worked out that can be before the target is touched.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use greenroom_domain::deployment::service::ProcessRecipe;
use greenroom_domain::id::{Name, OperationId, PlacementKey};

use super::record::{Book, Record};
use super::step::Limits;
use crate::template::{TemplateError, Words};
use crate::{Desired, DriverError, Recipe, Where};

/// Marks in the environment of a process, by which it is found when its record is not.
pub(crate) mod mark {
    pub(crate) const OP: &str = "GREENROOM_OP";
    pub(crate) const START: &str = "GREENROOM_START";
    pub(crate) const FENCE: &str = "GREENROOM_FENCE";
    pub(crate) const BUILD: &str = "GREENROOM_BUILD";
    pub(crate) const DIGEST: &str = "GREENROOM_DIGEST";
    pub(crate) const CONFIG: &str = "GREENROOM_CONFIG";
    pub(crate) const PLACEMENT: &str = "GREENROOM_PLACEMENT";
    pub(crate) const ADDRESS: &str = "GREENROOM_ADDRESS";
    pub(crate) const LISTEN: &str = "GREENROOM_LISTEN";
}

/// What an operation needs to go on.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub op: OperationId,
    pub key: PlacementKey,
    pub book: Book,
    pub address: PathBuf,
    pub stable: Option<SocketAddr>,
    pub recipe: ProcessRecipe,
}

impl Job {
    pub(crate) fn of(desired: &Desired) -> Result<Self, DriverError> {
        Self::at(&desired.place(), desired.op)
    }

    pub(crate) fn at(place: &Where, op: OperationId) -> Result<Self, DriverError> {
        let Recipe::Process(recipe) = &place.recipe else { return Err(DriverError::Recipe) };
        // Processes are started elsewhere than we run, and find each other by this path.
        let address = std::path::absolute(&place.address).unwrap_or_else(|_| place.address.clone());
        Ok(Self { op, key: place.key.clone(), book: Book::new(&address, &place.key.service), address, stable: place.endpoint, recipe: recipe.clone() })
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { times: self.recipe.ready.times, min_stable: self.recipe.min_stable, deadline: self.recipe.deadline }
    }

    pub(crate) fn artifacts(&self) -> PathBuf {
        self.address.join("artifacts")
    }
}

/// Command line and environment of a process that listens on `listen`.
pub(crate) fn command_of(
    desired: &Desired,
    recipe: &ProcessRecipe,
    artifacts: &BTreeMap<Name, PathBuf>,
    listen: SocketAddr,
) -> Result<(Vec<String>, BTreeMap<String, String>), TemplateError> {
    let mut words = Words::new(desired.endpoints.clone());
    for (component, path) in artifacts {
        words = words.with(component.as_str(), path.display());
    }
    let words = words.with("listen", listen).with("environment", &desired.key.environment).with("version", &desired.label.version).with("control", &desired.control);
    let argv = words.expand_argv(&recipe.run)?;
    let environment = recipe.env.iter().map(|(k, v)| Ok((k.clone(), words.expand(v)?))).collect::<Result<_, TemplateError>>()?;
    Ok((argv, environment))
}

/// The recipe's environment and our marks, which it cannot override.
pub(crate) fn marked(mut environment: BTreeMap<String, String>, job: &Job, record: &Record) -> BTreeMap<String, String> {
    for (name, value) in [
        (mark::OP, record.op.to_string()),
        (mark::START, record.starts.to_string()),
        (mark::FENCE, record.fence.to_string()),
        (mark::BUILD, record.label.to_string()),
        (mark::DIGEST, record.build.to_string()),
        (mark::CONFIG, record.config.to_string()),
        (mark::PLACEMENT, job.key.to_string()),
        (mark::ADDRESS, job.address.display().to_string()),
        (mark::LISTEN, record.listen.to_string()),
    ] {
        environment.insert(name.into(), value);
    }
    environment
}
