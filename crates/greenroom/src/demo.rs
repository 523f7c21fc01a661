//! The demo: a server, five environments and a small shop on this machine, and the story of one build and one release,
//! step by step, each with the command a person would have typed. Every step checks what it shows.

mod clear;
mod eyes;
mod kills;
mod stage;
mod story;

use anyhow::{Result, anyhow, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::commands::demo::Demo;
use crate::output;
use stage::Stage;

/// Sets the stage, plays the story and, unless told to end, leaves everything running until it is told to.
pub async fn run(options: &Demo) -> Result<()> {
    let mut curtain = Curtain::new()?;
    let mut stage = tokio::select! {
        stage = Stage::set(options) => stage?,
        signal = curtain.called() => bail!("stopped by {signal}"),
    };
    let told = tokio::select! {
        told = play(&mut stage, options) => told,
        signal = curtain.called() => Err(anyhow!("stopped by {signal}")),
    };
    if told.is_ok() && !options.once && !output::ended() {
        stage.farewell();
        let _ = curtain.called().await;
    }
    output::note("stopping everything");
    let struck = stage.strike().await;
    told?;
    struck
}

async fn play(stage: &mut Stage, options: &Demo) -> Result<()> {
    stage.open().await?;
    if options.kill_matrix { kills::play(stage, options.kills).await } else { story::tell(stage).await }
}

/// What ends the demo from outside. Without it, what the demo started would go on after it.
struct Curtain {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Curtain {
    fn new() -> Result<Self> {
        // under `nohup` a closed terminal is no reason to end
        let hangup = if hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    async fn called(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }
}

/// Signal 1 is the lowest bit of the mask.
fn hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}
