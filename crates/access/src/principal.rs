//! Who attempts something: a person with roles, or a token that is for one thing.

use std::fmt;

use greenroom_domain::id::Name;
use greenroom_domain::role::Role;

/// Roles someone is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RoleSet(u16);

impl RoleSet {
    pub const NONE: RoleSet = RoleSet(0);
    /// How many sets there are; [`Self::bits`] is below it.
    pub(crate) const COUNT: usize = 1 << Role::ALL.len();

    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | 1 << role as u16)
    }

    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & (1 << role as u16) != 0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }

    pub(crate) const fn bits(self) -> usize {
        self.0 as usize
    }
}

impl From<Role> for RoleSet {
    fn from(role: Role) -> Self {
        Self::NONE.with(role)
    }
}

impl FromIterator<Role> for RoleSet {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}

impl<'a> FromIterator<&'a Role> for RoleSet {
    fn from_iter<I: IntoIterator<Item = &'a Role>>(roles: I) -> Self {
        roles.into_iter().copied().collect()
    }
}

impl fmt::Debug for RoleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Role::as_str)).finish()
    }
}

/// What the credential is for. Any scope but `None` stands alone: roles add nothing to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TokenScope {
    /// A session, or a personal token: all that the person's roles allow.
    #[default]
    None,
    /// Registers builds, records checks, asks for deployments outside production, reads.
    Ci,
    /// Evaluates in one environment.
    Sdk { environment: Name },
    /// Reads its work and records checks.
    Agent,
    /// Follows the exposure of every environment.
    Relay,
}

/// Who attempts something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Principal {
    pub roles: RoleSet,
    pub scope: TokenScope,
}

impl Principal {
    #[must_use]
    pub fn person(roles: impl IntoIterator<Item = Role>) -> Self {
        Self { roles: roles.into_iter().collect(), scope: TokenScope::None }
    }

    #[must_use]
    pub const fn token(scope: TokenScope) -> Self {
        Self { roles: RoleSet::NONE, scope }
    }
}
