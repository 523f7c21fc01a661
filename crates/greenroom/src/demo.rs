//! The demo: a server, five environments and a small shop on this machine, and the story of one build and one release,
//! step by step, each with the command a person would have typed. Every step checks what it shows.

mod eyes;
mod kills;
mod stage;
mod story;

use anyhow::Result;

use crate::commands::demo::Demo;
use crate::output;
use stage::Stage;

/// Sets the stage, plays the story and, unless told to end, leaves everything running until Ctrl-C.
pub async fn run(options: &Demo) -> Result<()> {
    let mut stage = Stage::set(options).await?;
    let told = tokio::select! {
        told = play(&mut stage, options.kill_matrix) => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped by Ctrl-C")),
    };
    if told.is_ok() && !options.once {
        stage.farewell();
        let _ = tokio::signal::ctrl_c().await;
        output::note("stopping everything");
    }
    let struck = stage.strike().await;
    told?;
    struck
}

async fn play(stage: &mut Stage, kill_matrix: bool) -> Result<()> {
    if kill_matrix { kills::play(stage).await } else { story::tell(stage).await }
}
