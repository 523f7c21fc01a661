//! The catalog: what the shop sells and how soon it comes, read from its `data` component. Express delivery is offered to
//! those it is released to.
//!
//! `catalog --listen ADDR --data FILE [--control URL] [--version-label V] [--environment NAME]`

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use http::StatusCode;
use serde_json::json;
use shop::ofrep::{Features, Token};
use shop::pages::{EXPRESS, slowest};
use shop::{Args, Products, Reply, Running, serve};

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
    let control = args.get("control").filter(|url| !url.is_empty()).map(shop::base_url);
    let features = Features::new(reqwest::Client::builder().no_proxy().build()?, control, "catalog", running.version.clone(), Token::from_env());
    let (data, features) = (Arc::new(data), Arc::new(features));
    serve(args.need("listen")?.parse().context("--listen")?, move |request| {
        let (running, data, features) = (Arc::clone(&running), Arc::clone(&data), Arc::clone(&features));
        async move {
            match request.uri().path() {
                path if let Some(reply) = running.common(path) => reply,
                "/products" => shop::json(StatusCode::OK, &*data),
                "/delivery" => delivery(&data, &features, &shop::user(&request).unwrap_or_default()).await,
                path => shop::json(StatusCode::NOT_FOUND, &json!({ "error": format!("nothing at {path}") })),
            }
        }
    })
    .await
}

/// How soon everything is there; where the estimates know of express, faster for those it is released to.
async fn delivery(data: &Products, features: &Features, user: &str) -> Reply {
    let Some(slowest) = slowest(&data.products).filter(|_| data.express) else {
        return shop::json(StatusCode::OK, &json!({ "express": "not-built" }));
    };
    if features.is_on(EXPRESS, user).await {
        let offer = json!({ "express": "shown", "hours": slowest.express_hours, "price_cents": slowest.express_price_cents });
        return shop::json(StatusCode::OK, &offer);
    }
    shop::json(StatusCode::OK, &json!({ "express": "off", "hours": slowest.standard_hours }))
}
