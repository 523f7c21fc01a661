//! The kill matrix: the server is ended as by `kill -9` at every named point of a deployment and of a release. After a
//! restart nothing acknowledged is missing, what was under way goes on, running services are the same processes, and
//! customers of the stable addresses have noticed nothing.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::eyes::{Customers, ask, shown};
use super::stage::{Output, Stage};
use super::story::{self, FEATURE};

/// Points that a deployment passes; the first is passed by whatever is written first.
const DEPLOYING: [&str; 9] = [
    "before-commit",
    "after-commit",
    "rollout-applying",
    "driver-after-start",
    "rollout-observing",
    "driver-before-switch",
    "driver-after-switch",
    "driver-before-stop-old",
    "rollout-verifying",
];
/// Points that starting a release passes.
const EXPOSING: [&str; 3] = ["release-exposing", "before-publish", "after-publish"];
/// Points that withdrawing passes.
const WITHDRAWING: [&str; 2] = ["release-withdrawing", "before-publish"];

pub async fn play(stage: &mut Stage) -> Result<()> {
    story::people(stage).await?;
    story::manifests(stage).await?;
    story::first_builds(stage).await?;
    fs::write(stage.dir.join("data/allow-failpoints"), "")?;
    // in both: where deployments are killed, and where nothing may be touched meanwhile
    let addresses = ["development", "production"].iter().flat_map(|e| ["shop-web", "catalog"].map(|s| format!("{}/version", stage.endpoint(e, s))));
    let customers = Customers::come(addresses.collect());
    let (untouched, beside) = (stage.processes("production")?, stage.processes("development")?.remove("shop-web"));
    for service in ["catalog", "shop-web"] {
        story::register(stage, service, "1.1.0").await?;
    }
    stage.chapter("Killed while deploying");
    for (i, point) in DEPLOYING.iter().enumerate() {
        let version = if i % 2 == 0 { "1.1.0" } else { "1.0.0" };
        let label = format!("catalog@{version}");
        if let Some(acknowledged) = killed(stage, point, &["deploy", &label, "--to", "development", "--json"]).await? {
            let number = acknowledged["number"].as_u64().context("an acknowledged deployment has a number")?.to_string();
            let known = stage.view(&["deployment", "show", &number]).await?;
            ensure!(known["id"] == acknowledged["id"] && known["builds"] == acknowledged["builds"], "deployment #{number} was acknowledged at {point} and is lost: {known}");
        }
        let (runs, pending, ..) = stage.cell("development", "catalog").await?;
        if runs.as_deref() != Some(version) && pending.is_none() {
            // it was not acknowledged, and is not there: asking again is safe
            stage.type_as("eva", &["deploy", &label, "--to", "development"]).await?;
        }
        stage.until_live("development", "catalog", version).await?;
        one_process_each(stage).await?;
        ensure!(stage.processes("development")?.remove("shop-web") == beside, "shop-web in development must be adopted, not restarted");
    }
    ensure!(stage.processes("production")? == untouched, "services in production must be adopted, not restarted");
    stage.type_as("eva", &["deploy", "catalog@1.1.0", "shop-web@1.1.0", "--to", "development", "--wait"]).await?;
    for environment in ["integration", "test", "staging"] {
        for service in ["catalog", "shop-web"] {
            stage.until_live(environment, service, "1.1.0").await?;
        }
    }
    story::enter(stage, &["catalog@1.1.0", "shop-web@1.1.0"]).await?;

    stage.chapter("Killed while exposing and withdrawing");
    let staff = story::staff();
    for (i, point) in EXPOSING.iter().enumerate() {
        let name = format!("launch-{i}");
        let file = story::planned(stage, &name, "mode: manual")?;
        stage.type_as("rosa", &["release", "plan", "-f", &file]).await?;
        story::go(stage, &name).await?;
        killed_as(stage, "rosa", point, &["release", "start", &name]).await?;
        if story::state_of(stage, &name).await? == "planned" {
            stage.type_as("rosa", &["release", "start", &name]).await?;
        }
        stage.until("staff is served what was decided", async |stage: &Stage| Ok((value(stage, &staff).await? == true).then_some(()))).await?;
        let point = WITHDRAWING.get(i % WITHDRAWING.len()).copied().unwrap_or("release-withdrawing");
        killed_as(stage, "otto", point, &["release", "withdraw", &name]).await?;
        if story::state_of(stage, &name).await? == "exposing" {
            stage.type_as("otto", &["release", "withdraw", &name]).await?;
        }
        stage.until("the withdrawal is effective", async |stage: &Stage| Ok((story::state_of(stage, &name).await? == "withdrawn").then_some(()))).await?;
        ensure!(value(stage, &staff).await? == false, "withdrawn means off");
        ensure!(shown(&stage.http, &stage.url, &stage.token("production")?, FEATURE, 100).await?.is_empty(), "withdrawn means off for everyone");
    }
    stage.type_as("ada", &["ledger", "verify"]).await?;
    let served = customers.leave().await.context("customers of the stable addresses")?;
    stage.say(&format!("\nThe server was killed {} times; customers were served {served} times, and not one request failed.", DEPLOYING.len() + 2 * EXPOSING.len()));
    Ok(())
}

async fn value(stage: &Stage, context: &Value) -> Result<Value> {
    Ok(ask(&stage.http, &stage.url, &stage.token("production")?, FEATURE, context).await?["value"].clone())
}

async fn killed(stage: &mut Stage, point: &str, args: &[&str]) -> Result<Option<Value>> {
    let output = killed_as(stage, "eva", point, args).await?;
    (output.code == 0).then(|| output.json()).transpose()
}

/// Restarts the server with the point armed, types the command, waits until the server is dead, and starts it again.
async fn killed_as(stage: &mut Stage, person: &str, point: &str, args: &[&str]) -> Result<Output> {
    stage.kill_server().await?;
    stage.serve(&[("GREENROOM_FAILPOINTS", point)]).await?;
    stage.say(&format!("{person} $ greenroom {}     (the server dies at {point})", args.join(" ")));
    // just after a start nothing was observed yet, and nothing grows on what was seen before it
    let typed = stage
        .until("the command is taken", async |stage: &Stage| {
            let typed = stage.quietly(person, args).await?;
            Ok((typed.code != 3 || !typed.text.contains("was not observed")).then_some(typed))
        })
        .await?;
    stage.server_dies().await.with_context(|| format!("at {point}, after: {}", typed.text))?;
    stage.serve(&[]).await?;
    Ok(typed)
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
