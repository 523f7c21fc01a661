//! The shop's pages: products from the catalog at its stable address, and an express button for those it is released
//! to.
//!
//! `shop-web --listen ADDR --pages FILE --catalog URL [--control URL] [--version-label V] [--environment NAME]`

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use shop::ofrep::{Features, Token};
use shop::pages::{EXPRESS, Express, Pages, slowest};
use shop::{Args, Product, Products, Reply, Running, note, reply, serve};

const CATALOG_PATIENCE: Duration = Duration::from_secs(2);

struct Shop {
    running: Running,
    pages: Pages,
    catalog: String,
    http: reqwest::Client,
    features: Features,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1))?;
    let path = args.path("pages")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let pages = Pages::parse(&text).with_context(|| format!("in {}", path.display()))?;
    let running = Running::new("shop-web", &args, pages.header.fault.clone());
    let http = reqwest::Client::builder().no_proxy().build()?;
    let control = args.get("control").filter(|url| !url.is_empty()).map(shop::base_url);
    let features = Features::new(http.clone(), control, "shop-web", running.version.clone(), Token::from_env());
    let shop = Arc::new(Shop { running, pages, catalog: args.url("catalog")?, http, features });
    serve(args.need("listen")?.parse().context("--listen")?, move |request| {
        let shop = Arc::clone(&shop);
        async move { shop.answer(&request).await }
    })
    .await
}

impl Shop {
    async fn answer(&self, request: &Request<Incoming>) -> Reply {
        let path = request.uri().path();
        if let Some(reply) = self.running.common(path) {
            return reply;
        }
        if !matches!(path, "/" | "/api/cart") {
            return shop::json(StatusCode::NOT_FOUND, &json!({ "error": format!("nothing at {path}") }));
        }
        let products = match self.products().await {
            Ok(products) => products.products,
            Err(error) => {
                note(format_args!("catalog: {error:#}"));
                return shop::json(StatusCode::BAD_GATEWAY, &json!({ "error": "the catalog does not answer" }));
            }
        };
        let user = shop::user(request).unwrap_or_default();
        let express = self.express(&user, &products).await;
        match path {
            "/" => {
                let page = self.pages.render(&user, &self.running.version, &products, express);
                reply(StatusCode::OK, "text/html; charset=utf-8", page)
            }
            _ => shop::json(StatusCode::OK, &self.cart(&user, &products, express)),
        }
    }

    /// A basket for demonstration: the first two products.
    fn cart(&self, user: &str, products: &[Product], express: Express) -> serde_json::Value {
        let items: Vec<&Product> = products.iter().take(2).collect();
        let total: u64 = items.iter().map(|p| p.price_cents).sum();
        let offer = slowest(products).filter(|_| express == Express::Shown);
        json!({
            "version": self.running.version, "user": user, "items": items, "total_cents": total,
            "express": express.as_str(), "express_offer": offer,
        })
    }

    async fn express(&self, user: &str, products: &[Product]) -> Express {
        if !self.pages.asks_for(EXPRESS) {
            return Express::NotBuilt;
        }
        match (self.features.is_on(EXPRESS, user).await, slowest(products)) {
            (false, _) => Express::Off,
            (true, Some(_)) => Express::Shown,
            (true, None) => Express::Broken,
        }
    }

    /// Asks the catalog, and once more if the first answer was none.
    async fn products(&self) -> Result<Products> {
        match self.ask_catalog().await {
            Ok(products) => Ok(products),
            Err(_) => self.ask_catalog().await,
        }
    }

    async fn ask_catalog(&self) -> Result<Products> {
        let request = self.http.get(format!("{}/products", self.catalog)).timeout(CATALOG_PATIENCE);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}
