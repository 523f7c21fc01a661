//! The snapshot that is answered from: checked, compiled, and at hand as it was signed.

use std::fmt;
use std::sync::Arc;

use greenroom_exposure::Snapshot;
use greenroom_exposure::wire::follow::{Canonical, Delta, Misfit, Signed, Text};

use super::key::Key;

/// What was sent is not followed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("it does not read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("its signature is not of the pinned key")]
    Signature,
    #[error("it is of environment `{given}`, and `{held}` is followed")]
    Environment { held: Arc<str>, given: Arc<str> },
    #[error("revision {given} is older than {held}, which is held")]
    Older { held: u64, given: u64 },
    #[error(transparent)]
    Misfit(#[from] Misfit),
    #[error("it is a delta, and nothing is held yet")]
    Nothing,
}

/// A snapshot that the pinned key has signed.
#[derive(Clone)]
pub struct Held {
    canonical: Arc<Canonical>,
    signature: Arc<str>,
    snapshot: Arc<Snapshot>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.snapshot).finish()
    }
}

impl Held {
    /// Reads `{"snapshot": …, "signature": …}` and checks it against the key, and against what is held.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn whole(json: &str, key: &Key, environment: Option<&Arc<str>>, before: Option<&Self>) -> Result<Self, Refused> {
        let signed: Signed<'_> = serde_json::from_str(json)?;
        let text = signed.snapshot.get();
        if !key.signed(text.as_bytes(), &signed.signature) {
            return Err(Refused::Signature);
        }
        let canonical = Canonical::read(text)?;
        let expected = before.map(|held| &held.canonical.environment).or(environment);
        if let Some(held) = expected.filter(|expected| **expected != canonical.environment) {
            return Err(Refused::Environment { held: Arc::clone(held), given: canonical.environment });
        }
        if let Some(held) = before.map(Self::revision).filter(|held| *held > canonical.revision) {
            return Err(Refused::Older { held, given: canonical.revision });
        }
        Self::compiled(canonical, signed.signature.as_ref().into(), before)
    }

    /// What a delta makes of this, checked by its outcome.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn with(&self, json: &str, key: &Key) -> Result<Self, Refused> {
        let delta: Delta<Text, Text, Text> = serde_json::from_str(json)?;
        let canonical = self.canonical.with(&delta)?;
        if !key.signed(&canonical.write(), &delta.sig) {
            return Err(Refused::Signature);
        }
        Self::compiled(canonical, delta.sig.into(), Some(self))
    }

    /// Compiles what differs from `before` and shares the rest, so that handles stay good.
    fn compiled(canonical: Canonical, signature: Arc<str>, before: Option<&Self>) -> Result<Self, Refused> {
        let nothing;
        let (known, snapshot) = match before {
            Some(before) => (&*before.canonical, &*before.snapshot),
            None => {
                nothing = (Canonical::empty(&canonical.environment), Snapshot::empty(&canonical.environment, 0));
                (&nothing.0, &nothing.1)
            }
        };
        let (snapshot, warnings) = snapshot.with(&canonical.change_from(known)?);
        for warning in warnings {
            tracing::warn!(feature = warning.feature, cohort = warning.cohort, rule = warning.rule, "{}", warning.message);
        }
        Ok(Self { canonical: Arc::new(canonical), signature, snapshot: Arc::new(snapshot) })
    }

    #[must_use]
    pub fn environment(&self) -> &Arc<str> {
        &self.canonical.environment
    }

    #[must_use]
    pub fn revision(&self) -> u64 {
        self.canonical.revision
    }

    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// As text, as it was signed.
    #[must_use]
    pub const fn canonical(&self) -> &Arc<Canonical> {
        &self.canonical
    }

    /// Of the origin, whoever passed it on.
    #[must_use]
    pub const fn signature(&self) -> &Arc<str> {
        &self.signature
    }

    /// What [`Self::whole`] reads.
    #[must_use]
    pub fn envelope(&self) -> Vec<u8> {
        let mut envelope = b"{\"snapshot\":".to_vec();
        envelope.extend_from_slice(&self.canonical.write());
        envelope.extend_from_slice(b",\"signature\":\"");
        envelope.extend_from_slice(self.signature.as_bytes());
        envelope.extend_from_slice(b"\"}");
        envelope
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ed25519_dalek::{Signer as _, SigningKey};
    use greenroom_exposure::{Anonymous, Model};
    use serde_json::json;

    use super::*;

    fn signer() -> SigningKey {
        SigningKey::from_bytes(&[9; 32])
    }

    fn key() -> Key {
        STANDARD.encode(signer().verifying_key().as_bytes()).parse().unwrap()
    }

    fn sign(bytes: &str) -> String {
        STANDARD.encode(signer().sign(bytes.as_bytes()).to_bytes())
    }

    fn text(environment: &str, revision: u64, default: &str) -> String {
        let feature = json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": default});
        let model: Model = serde_json::from_value(json!({"format": "greenroom/snapshot/1", "environment": environment, "revision": revision, "features": {"f": feature}})).unwrap();
        serde_json::to_string(&model).unwrap()
    }

    fn envelope(text: &str) -> String {
        format!("{{\"snapshot\":{text},\"signature\":\"{}\"}}", sign(text))
    }

    fn delta(from: &str, to: &str, signed: &str) -> String {
        let (from, to) = (Canonical::read(from).unwrap(), Canonical::read(to).unwrap());
        serde_json::to_string(&to.delta_from(&from, sign(signed))).unwrap()
    }

    fn held() -> Held {
        Held::whole(&envelope(&text("production", 7, "on")), &key(), None, None).unwrap()
    }

    fn variant(held: &Held) -> String {
        held.snapshot().evaluate("f", &Anonymous).unwrap().variant().to_owned()
    }

    #[test]
    fn a_whole_is_believed_by_its_signature_environment_and_revision() {
        let held = held();
        assert_eq!((variant(&held).as_str(), &*held.environment().clone(), held.revision()), ("on", "production", 7));
        assert_eq!(held.envelope(), envelope(&text("production", 7, "on")).into_bytes());
        let refused = |json: &str| Held::whole(json, &key(), None, Some(&held)).unwrap_err();
        assert!(matches!(refused(&envelope(&text("production", 8, "on")).replace("true", "false")), Refused::Signature));
        assert!(matches!(refused(&envelope(&text("test", 8, "on"))), Refused::Environment { .. }));
        assert!(matches!(refused(&envelope(&text("production", 6, "on"))), Refused::Older { held: 7, given: 6 }));
        assert!(matches!(refused("{}"), Refused::Unreadable(_)));
        assert!(Held::whole(&envelope(&text("production", 7, "on")), &key(), None, Some(&held)).is_ok());
        assert!(matches!(Held::whole(&envelope(&text("production", 7, "on")), &key(), Some(&"test".into()), None), Err(Refused::Environment { .. })));
    }

    #[test]
    fn a_delta_is_believed_by_its_outcome() {
        let (before, after, other) = (text("production", 7, "on"), text("production", 9, "off"), text("production", 8, "off"));
        let held = held();
        let next = held.with(&delta(&before, &after, &after), &key()).unwrap();
        assert_eq!((variant(&next).as_str(), next.revision(), variant(&held).as_str()), ("off", 9, "on"));
        assert_eq!(next.envelope(), envelope(&after).into_bytes());
        assert!(matches!(held.with(&delta(&before, &after, &before), &key()), Err(Refused::Signature)));
        assert!(matches!(held.with(&delta(&before, &after, &after).replace("\"default\":\"off\"", "\"default\":\"on\""), &key()), Err(Refused::Signature)));
        assert!(matches!(next.with(&delta(&before, &after, &after), &key()), Err(Refused::Misfit(_))), "twice");
        assert!(matches!(held.with(&delta(&other, &after, &after), &key()), Err(Refused::Misfit(_))), "to something else");
    }
}
