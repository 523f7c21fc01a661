//! What the policies allow, as a table that people can read, and the properties that no edit of it may lose.

mod matrix;
mod policies;
mod tokens;

use greenroom_access::Resource;
use greenroom_domain::deployment::environment::Purpose;
use greenroom_domain::id::Name;

const PURPOSES: [Purpose; 6] = [Purpose::Development, Purpose::Integration, Purpose::Test, Purpose::Staging, Purpose::Production, Purpose::Preview];

fn environment(purpose: Purpose) -> Resource {
    Resource::Environment { name: Name::new("here").unwrap(), purpose }
}

fn resources() -> Vec<Resource> {
    let others = [Resource::Any, Resource::Release, Resource::Feature, Resource::Person, Resource::Token, Resource::Ledger];
    others.into_iter().chain(PURPOSES.map(environment)).collect()
}
