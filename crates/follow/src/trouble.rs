//! What somebody has to do something about, said once.

use super::upstream::{Broken, Upstream};

/// Warns of the same trouble once, until it is another or over.
#[derive(Debug, Default)]
pub struct Trouble {
    told: Option<String>,
}

impl Trouble {
    /// Warns of what does not pass by itself.
    pub fn tell(&mut self, of: &Upstream, broken: &Broken) {
        let Some(remedy) = broken.remedy(of) else { return };
        let why = Some(broken.to_string());
        if self.told != why {
            tracing::warn!(upstream = %of.url, remedy, "not followed: {broken}");
            self.told = why;
        }
    }

    pub fn over(&mut self, of: &Upstream) {
        if self.told.take().is_some() {
            tracing::info!(upstream = %of.url, "followed again");
        }
    }
}
