//! Killed while deploying: each deployment is where it was, goes on, and its check is judged.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::super::stage::Stage;
use super::{ANSWERED, killed, restarted};

/// Points that a deployment passes; the first is passed by whatever is written first.
const POINTS: [&str; 10] = [
    "before-commit",
    "after-commit",
    ANSWERED,
    "rollout-applying",
    "driver-after-start",
    "rollout-observing",
    "driver-before-switch",
    "driver-after-switch",
    "driver-before-stop-old",
    "rollout-verifying",
];
/// At each point, and while a check runs.
pub const KILLS: usize = POINTS.len() + 1;

/// What deployments to development are verified by: it says when it has begun, and ends when it may.
const CHECK: &str = "takes-its-time";
const BEGUN: &str = "checks-begun";
const WAITS: &str = "check-waits";

/// Gives the catalog a check that runs where it is killed.
pub fn prepare(stage: &Stage) -> Result<()> {
    let manifest = stage.dir.join("shop/catalog.yaml");
    let text = fs::read_to_string(&manifest)?;
    let (before, after) = text.split_once("  checks:\n").context("the catalog has no checks")?;
    let script = format!(r#"echo begun >> "$SHOP_HOME/{BEGUN}"; while test -e "$SHOP_HOME/{WAITS}"; do sleep 0.02; done"#);
    let check = format!("    - name: {CHECK}\n      kind: functional\n      purposes: [development]\n      run: {{ command: {{ argv: [sh, -c, '{script}'] }} }}\n");
    Ok(fs::write(manifest, format!("{before}  checks:\n{check}{after}"))?)
}

pub async fn play(stage: &mut Stage) -> Result<()> {
    let beside = stage.processes("development")?.remove("shop-web");
    stage.chapter("Killed while deploying");
    for (i, point) in POINTS.iter().enumerate() {
        let version = version(i);
        let label = format!("catalog@{version}");
        let newest = newest(stage).await?;
        if let Some(acknowledged) = killed(stage, "eva", point, &["deploy", &label, "--to", "development"]).await? {
            let number = acknowledged["number"].as_u64().context("an acknowledged deployment has a number")?.to_string();
            let known = stage.view(&["deployment", "show", &number]).await?;
            ensure!(known["id"] == acknowledged["id"] && known["builds"] == acknowledged["builds"], "deployment #{number} was acknowledged at {point} and is lost: {known}");
        }
        if self::newest(stage).await?["number"] == newest["number"] {
            // it was not acknowledged, and is not there: asking again is safe
            stage.type_as("eva", &["deploy", &label, "--to", "development"]).await?;
        }
        arrives(stage, version).await?;
        ensure!(stage.processes("development")?.remove("shop-web") == beside, "shop-web in development must be adopted, not restarted");
    }

    stage.chapter("Killed while a check runs");
    let version = version(POINTS.len());
    fs::write(stage.dir.join(WAITS), "")?;
    let before = begun(stage);
    stage.type_as("eva", &["deploy", &format!("catalog@{version}"), "--to", "development"]).await?;
    stage.until("its check runs", async |stage: &Stage| Ok((begun(stage) > before).then_some(()))).await?;
    restarted(stage).await?;
    stage.until("its check runs again", async |stage: &Stage| Ok((begun(stage) > before + 1).then_some(()))).await?;
    ensure!(newest(stage).await?["state"] == "verifying", "what is not judged yet is not live");
    fs::remove_file(stage.dir.join(WAITS))?;
    arrives(stage, version).await?;
    ensure!(begun(stage) == before + 2, "what was judged is not asked again");
    Ok(())
}

/// By turns, so that each deployment changes what runs.
const fn version(turn: usize) -> &'static str {
    if turn.is_multiple_of(2) { "1.1.0" } else { "1.0.0" }
}

pub async fn newest(stage: &Stage) -> Result<Value> {
    Ok(stage.view(&["deployment", "list", "--env", "development", "-n", "1"]).await?["items"][0].clone())
}

fn begun(stage: &Stage) -> usize {
    fs::read_to_string(stage.dir.join(BEGUN)).unwrap_or_default().lines().count()
}

/// It is live, one process each serves, and what it was verified by has said so.
async fn arrives(stage: &Stage, version: &str) -> Result<()> {
    stage.until_live("development", "catalog", version).await?;
    let deployment = newest(stage).await?;
    let check = &deployment["rollouts"][0]["checks"][0];
    ensure!(deployment["state"] == "live" && check["name"] == CHECK && check["outcome"] == "pass", "it is live without having been judged: {deployment}");
    one_process_each(stage).await
}

/// A killed and repeated deployment has started exactly one process, once what it replaced has served its last request.
async fn one_process_each(stage: &Stage) -> Result<()> {
    stage
        .until("one process each, and no more", async |stage: &Stage| {
            let mut all = Vec::new();
            for environment in ["development", "production"] {
                all.extend(stage.processes(environment)?.into_values());
            }
            Ok(all.iter().all(|pids| pids.len() == 1).then_some(()))
        })
        .await
}
