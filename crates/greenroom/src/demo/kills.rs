//! The kill matrix: the server is ended as by `kill -9` at every named point of a deployment and of a release, right after
//! it has answered, and while time works for it. After a restart what was answered is there, what was under way goes on,
//! timers fire, running services are the same processes, and customers of the stable addresses have noticed nothing.

mod anytime;
mod deploying;
mod releasing;
mod timers;

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::eyes::{Customers, ask};
use super::stage::{Output, Stage};
use super::story;

/// No failpoint: the server is ended from outside as soon as it has answered.
const ANSWERED: &str = "the answer";

pub async fn play(stage: &mut Stage, at_any_moment: usize) -> Result<()> {
    deploying::prepare(stage)?;
    releasing::prepare(stage)?;
    story::people(stage).await?;
    story::manifests(stage).await?;
    story::first_builds(stage).await?;
    fs::write(stage.dir.join("data/allow-failpoints"), "")?;
    // in both: where deployments are killed, and where nothing may be touched meanwhile
    let addresses = ["development", "production"].iter().flat_map(|e| ["shop-web", "catalog"].map(|s| format!("{}/version", stage.endpoint(e, s))));
    let customers = Customers::come(addresses.collect());
    let untouched = stage.processes("production")?;
    for service in ["catalog", "shop-web"] {
        story::register(stage, service, "1.1.0").await?;
    }
    anytime::play(stage, at_any_moment).await?;
    deploying::play(stage).await?;
    timers::play(stage).await?;
    releasing::play(stage).await?;
    ensure!(stage.processes("production")? == untouched, "services in production must be adopted, not restarted");

    stage.chapter("Afterwards the whole way is open");
    stage.type_as("eva", &["deploy", "catalog@1.1.0", "shop-web@1.1.0", "--to", "development", "--wait"]).await?;
    for environment in ["integration", "test", "staging"] {
        for service in ["catalog", "shop-web"] {
            stage.until_live(environment, service, "1.1.0").await?;
        }
    }
    story::enter(stage, &["catalog@1.1.0", "shop-web@1.1.0"]).await?;
    releasing::withdrawn(stage).await?;
    stage.type_as("ada", &["ledger", "verify"]).await?;
    let served = customers.leave().await.context("customers of the stable addresses")?;
    let killed = 2 * at_any_moment + deploying::KILLS + timers::KILLS + releasing::KILLS;
    stage.say(&format!("\nThe server was killed {killed} times; customers were served {served} times, and not one request failed."));
    Ok(())
}

/// What is served in production.
async fn value(stage: &Stage, feature: &str, context: &Value) -> Result<Value> {
    Ok(ask(&stage.http, &stage.url, &stage.token("production")?, feature, context).await?["value"].clone())
}

/// Restarts the server with the point armed, types the command, waits until the server is dead, and starts it again.
/// Gives what was answered, if it was.
async fn killed(stage: &mut Stage, person: &str, point: &str, args: &[&str]) -> Result<Option<Value>> {
    let args = [args, &["--json"]].concat();
    // else it would be what comes to the point first, before the server is even ready
    stage.until("what goes its way by itself has arrived", async |stage: &Stage| Ok(at_rest(stage).await?.then_some(()))).await?;
    stage.kill_server().await?;
    stage.serve(&[("GREENROOM_FAILPOINTS", point)]).await?;
    stage.say(&format!("{person} $ greenroom {}     (the server dies at {point})", args.join(" ")));
    // just after a start nothing was observed yet, and nothing grows on what was seen before it
    let typed: Output = stage
        .until("the command is taken", async |stage: &Stage| {
            let typed = stage.quietly(person, &args).await?;
            Ok((typed.code != 3 || !typed.text.contains("was not observed")).then_some(typed))
        })
        .await?;
    if point == ANSWERED {
        ensure!(typed.code == 0, "nothing stood in its way: {}", typed.text);
        stage.kill_server().await?;
    } else {
        stage.server_dies().await.with_context(|| format!("at {point}, after: {}", typed.text))?;
    }
    stage.serve(&[]).await?;
    (typed.code == 0).then(|| typed.json()).transpose()
}

/// Whether no build is on its way to an environment that it may enter by itself.
async fn at_rest(stage: &Stage) -> Result<bool> {
    for environment in ["development", "integration", "test", "staging"] {
        for service in ["catalog", "shop-web"] {
            let (_, pending, ..) = stage.cell(environment, service).await?;
            if pending.is_some() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Ends the server from outside, whatever it does, and starts it again.
async fn restarted(stage: &mut Stage) -> Result<()> {
    stage.say("$ kill -9 SERVER; greenroom serve --data demo-data");
    stage.kill_server().await?;
    stage.serve(&[]).await?;
    Ok(())
}
