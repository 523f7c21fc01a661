//! The peer: Unleash Edge, a released program, given the same features. `cargo xtask bench` installs it once; this program
//! alone looks for it on the path, or where `UNLEASH_EDGE` says.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use greenroom_exposure::wire::unleash::{Level, features as handed_out};

use crate::answers::handed;
use crate::{Child, Outcome, Wire, ours};

/// Of backends and of pages: Edge wants them apart, and the environment in them.
pub const CLIENT: &str = "*:unleash.client";
pub const PAGE: &str = "*:unleash.page";

/// Serves this many features from a file.
pub async fn offline(features: usize) -> Outcome<Child> {
    let file = std::env::temp_dir().join(format!("greenroom-bench-{}-edge.json", std::process::id()));
    let mut handed = serde_json::to_value(handed_out(&ours::unleash(features)?, Level::Variants))?;
    for feature in handed["features"].as_array_mut().into_iter().flatten() {
        // else no token is good for it
        feature["project"] = "default".into();
    }
    std::fs::write(&file, handed.to_string())?;
    let file_named = file.display().to_string();
    let started = start(&["offline", "--client-tokens", CLIENT, "--frontend-tokens", PAGE, "--bootstrap-file", &file_named]).await;
    std::fs::remove_file(&file)?;
    started
}

/// Hands on what the streams of `upstream` bring.
pub async fn streaming(upstream: SocketAddr) -> Outcome<Child> {
    start(&["edge", "--streaming", "--tokens", CLIENT, "--upstream-url", &format!("http://{upstream}")]).await
}

async fn start(args: &[&str]) -> Outcome<Child> {
    let program = std::env::var("UNLEASH_EDGE").unwrap_or_else(|_| "unleash-edge".to_owned());
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(&program);
    command.args(["--interface", "127.0.0.1", "--port", &address.port().to_string()]).args(args);
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| format!("`{program}`: {error}"))?;
    let (server, began) = (Child { process, address }, Instant::now());
    while began.elapsed() < Duration::from_secs(20) {
        if let Ok(mut wire) = Wire::try_open(address).await
            && matches!(wire.raw(&handed("")).await, Ok((200, ..)))
        {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.end();
    Err(format!("`{program}` does not answer").into())
}
