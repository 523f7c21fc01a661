//! Names of people and other sealed texts, opened for those who may read them. The chain holds only hashes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use greenroom_domain::actor::Actor;
use greenroom_domain::id::PersonId;
use greenroom_domain::sealed::{Seal, Sealed};
use greenroom_domain::state::State;
use greenroom_ledger::{Hash, Reader};
use imbl::HashMap;

/// The bytes behind `sha256:…`.
#[must_use]
pub const fn hash_of(digest: &greenroom_domain::id::Digest) -> Hash {
    Hash(*digest.bytes())
}

/// Sealed texts by hash: people's names are kept in memory, the rest is read when asked for.
pub struct Directory {
    names: ArcSwap<HashMap<Sealed, Arc<str>>>,
    reader: Reader,
}

impl Directory {
    /// Opens the names of everyone in `state`.
    #[must_use]
    pub fn open(reader: Reader, state: &State) -> Self {
        let directory = Self { names: ArcSwap::from_pointee(HashMap::new()), reader };
        directory.load(state);
        directory
    }

    /// Reads the names of everyone in `state` anew.
    pub fn load(&self, state: &State) {
        let names = state.persons.values().filter_map(|p| Some((p.name.clone(), Arc::from(self.read(&p.name)?)))).collect();
        self.names.store(Arc::new(names));
    }

    /// A sealed text, unless it was erased.
    #[must_use]
    pub fn text(&self, sealed: &Sealed) -> Option<String> {
        if let Some(name) = self.names.load().get(sealed) {
            return Some(name.to_string());
        }
        self.read(sealed)
    }

    fn read(&self, sealed: &Sealed) -> Option<String> {
        match self.reader.sealed(hash_of(&sealed.0)) {
            Ok(row) => row.and_then(|row| String::from_utf8(row.content).ok()),
            Err(error) => {
                tracing::error!(%error, "a sealed text cannot be read");
                None
            }
        }
    }

    /// Takes the names of people who just joined.
    pub fn joined(&self, seals: &[Seal]) {
        self.names.rcu(|names| seals.iter().fold(HashMap::clone(names), |map, seal| map.update(seal.sealed.clone(), Arc::from(seal.content.as_str()))));
    }

    pub fn erased(&self, sealed: &[Sealed]) {
        self.names.rcu(|names| {
            let mut names = HashMap::clone(names);
            for one in sealed {
                names.remove(one);
            }
            names
        });
    }

    /// The present person called `name`.
    #[must_use]
    pub fn person(&self, state: &State, name: &str) -> Option<PersonId> {
        let names = self.names.load();
        state.persons.values().find(|p| p.left.is_none() && names.get(&p.name).is_some_and(|n| **n == *name)).map(|p| p.id)
    }

    #[must_use]
    pub fn name_of(&self, state: &State, person: PersonId) -> Option<String> {
        self.text(&state.persons.get(&person)?.name)
    }

    /// An actor for people: a name where there is one.
    #[must_use]
    pub fn who(&self, state: &State, actor: Actor) -> String {
        match actor {
            Actor::Person(id) => self.name_of(state, id).unwrap_or_else(|| "someone erased".to_owned()),
            Actor::Token(id) => state.token_ids.get(&id).and_then(|h| state.tokens.get(h)).map_or_else(|| id.to_string(), |t| format!("token {}", t.title)),
            Actor::System(_) => "greenroom".to_owned(),
        }
    }
}
