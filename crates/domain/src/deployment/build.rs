//! Builds: immutable versions of a service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::deployment::service::Versioning;
use crate::few::{Few, FewSet};
use crate::id::{BuildLabel, Digest, FeatureKey, Name, Requirement, Version};
use crate::time::At;
use crate::value::ValueType;

/// One component's artifact, under every digest it may be seen by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    pub uri: String,
    pub digests: FewSet<Digest>,
}

/// Bounds on a schema's level that a build can work with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaRange {
    pub min: u32,
    pub max: u32,
}

/// A merged commit range that went into a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub commit: String,
    pub summary: String,
    /// Components whose sources it touched; empty means unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub work_items: Vec<String>,
}

/// A build as registered: its file form and its wire form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildSpec {
    pub service: Name,
    pub version: Version,
    #[serde(default = "main_line")]
    pub line: Name,
    /// Versions of other lines that this build contains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub artifacts: Few<Name, Artifact>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    #[serde(default, skip_serializing_if = "Few::is_empty")]
    pub reads: Few<FeatureKey, ValueType>,
    #[serde(default, skip_serializing_if = "Few::is_empty")]
    pub schema: Few<Name, SchemaRange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

#[allow(clippy::expect_used, reason = "a literal that is a name")]
pub(crate) fn main_line() -> Name {
    Name::new("main").expect("`main` is a name")
}

impl BuildSpec {
    /// Identity: SHA-256 over the sorted component → digests list, each entry one line.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(b"greenroom/build/1\n");
        hash.update(self.service.as_str());
        hash.update(b"\n");
        for (component, artifact) in self.artifacts.iter() {
            hash.update(component.as_str());
            for digest in &artifact.digests {
                hash.update(b" ");
                hash.update(digest.to_string());
            }
            hash.update(b"\n");
        }
        crate::id::digest_of(hash)
    }

    #[must_use]
    pub fn label(&self) -> BuildLabel {
        BuildLabel { service: self.service.clone(), version: self.version.clone() }
    }
}

/// A build as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub spec: BuildSpec,
    pub digest: Digest,
    /// Place among the builds of its service by registration, from 1.
    pub sequence: u64,
    pub at: At,
    /// Why no automation may deploy it again.
    #[serde(default)]
    pub quarantined: Option<String>,
}

impl Build {
    /// Whether this build counts as `floor` or newer under `versioning`. Builds of another line count only by
    /// `contains`; what cannot be compared does not count.
    #[must_use]
    pub fn reaches(&self, floor: &Build, versioning: Versioning) -> bool {
        if self.digest == floor.digest || self.spec.contains.contains(&floor.spec.version) {
            return true;
        }
        if self.spec.line != floor.spec.line {
            return false;
        }
        match versioning {
            Versioning::Sequence => self.sequence >= floor.sequence,
            Versioning::Semver => self.reaches_version(&floor.spec.version, versioning),
        }
    }

    /// As [`Self::reaches`], for a floor that need not be registered (yet). In `sequence` order an unregistered floor
    /// cannot be compared.
    #[must_use]
    pub fn reaches_version(&self, floor: &Version, versioning: Versioning) -> bool {
        if self.spec.version == *floor || self.spec.contains.contains(floor) {
            return true;
        }
        match versioning {
            Versioning::Sequence => false,
            Versioning::Semver => match (semver::Version::parse(self.spec.version.as_str()), semver::Version::parse(floor.as_str())) {
                // build metadata has no precedence
                (Ok(ours), Ok(floor)) => ours.cmp_precedence(&floor).is_ge(),
                _ => false,
            },
        }
    }
}
