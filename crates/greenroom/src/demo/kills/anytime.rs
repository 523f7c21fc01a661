//! Killed at any moment, not only where a point has a name, while builds follow one another through the environments.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::super::stage::Stage;
use super::restarted;

/// A deployment to development meets builds that are still on their way from there, and the server dies under all of them.
pub async fn play(stage: &mut Stage, kills: usize) -> Result<()> {
    stage.chapter("Killed at any moment");
    let (chance, mut version) = (RandomState::new(), "1.0.0");
    for kill in 0..kills {
        version = if version == "1.1.0" { "1.0.0" } else { "1.1.0" };
        stage.type_as("eva", &["deploy", &format!("catalog@{version}"), "--to", "development"]).await?;
        for again in 0..2 {
            let moment = Duration::from_micros(chance.hash_one((kill, again)) % 1_500_000);
            stage.say(&format!("   {} ms later:", moment.as_millis()));
            tokio::time::sleep(moment).await; // sleep: the moment is what is drawn
            restarted(stage).await?;
        }
        stage.until_live("development", "catalog", version).await?;
        let deployment = super::deploying::newest(stage).await?;
        ensure!(deployment["state"] == "live", "what was acknowledged goes on: {deployment}");
    }
    Ok(())
}
