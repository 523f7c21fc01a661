//! The catalog: what the shop sells, read from its `data` component.
//!
//! `catalog --listen ADDR --data FILE [--version-label V] [--environment NAME]`

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use http::StatusCode;
use shop::{Args, Products, Running, json, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1))?;
    let path = args.path("data")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut data: Products = serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    if !matches!(data.schema, 1 | 2) {
        bail!("schema {} of {} is not one this catalog reads: 1 or 2", data.schema, path.display());
    }
    let running = Arc::new(Running::new("catalog", &args, data.fault.take()));
    let data = Arc::new(data);
    serve(args.need("listen")?.parse().context("--listen")?, move |request| {
        let (running, data) = (Arc::clone(&running), Arc::clone(&data));
        async move {
            match request.uri().path() {
                path if let Some(reply) = running.common(path) => reply,
                "/products" => json(StatusCode::OK, &*data),
                path => json(StatusCode::NOT_FOUND, &serde_json::json!({ "error": format!("nothing at {path}") })),
            }
        }
    })
    .await
}
