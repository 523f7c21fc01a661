//! The `pages` component: one HTML template that says in its first line what it is.
//!
//! ```html
//! <!-- pages {"build": "1.1.0", "features": ["express-checkout"]} -->
//! <h1>…</h1> <!-- product --> … {{name}} … <!-- /product --> <!-- express --> … <!-- /express -->
//! ```
//! The block `product` is repeated; the block `express` is shown to users who have express checkout.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{Delivery, Fault, Product};

pub const EXPRESS: &str = "express-checkout";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub build: String,
    /// Features these pages ask for; what is not listed is never asked.
    #[serde(default)]
    pub features: Vec<String>,
    #[serde(default)]
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone)]
pub struct Pages {
    pub header: Header,
    before: String,
    product: String,
    between: String,
    express: String,
    after: String,
}

/// What became of express checkout for one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Express {
    /// These pages know nothing of it.
    NotBuilt,
    /// Built, and not released to this user.
    Off,
    Shown,
    /// Released to this user, but the catalog that runs has no delivery estimates.
    Broken,
}

impl Express {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotBuilt => "not-built",
            Self::Off => "off",
            Self::Shown => "shown",
            Self::Broken => "broken",
        }
    }
}

impl Pages {
    pub fn parse(text: &str) -> Result<Self> {
        let (first, body) = text.split_once('\n').unwrap_or((text, ""));
        let header = first.trim().strip_prefix("<!-- pages ").and_then(|rest| rest.strip_suffix("-->"));
        let header = header.context("the first line must be `<!-- pages {…} -->`")?;
        let header: Header = serde_json::from_str(header).context("first line of the pages")?;
        let (before, product, rest) = block(body, "product").context("the block `product` is missing")?;
        let (between, express, after) = match block(rest, "express") {
            Some(parts) => parts,
            None => (rest, "", ""),
        };
        let [before, product, between, express, after] = [before, product, between, express, after].map(str::to_owned);
        Ok(Self { header, before, product, between, express, after })
    }

    #[must_use]
    pub fn asks_for(&self, feature: &str) -> bool {
        self.header.features.iter().any(|f| f == feature)
    }

    /// The page for `user`. `build` is the version that runs, which need not be the one these pages were made for.
    #[must_use]
    pub fn render(&self, user: &str, build: &str, products: &[Product], express: Express) -> String {
        let whole = |part: &str| part.replace("{{build}}", &escape(build)).replace("{{express}}", express.as_str()).replace("{{user}}", &escape(user));
        let mut page = whole(&self.before);
        for product in products {
            let line = self.product.replace("{{price}}", &money(product.price_cents)).replace("{{sku}}", &escape(&product.sku));
            page.push_str(&line.replace("{{name}}", &escape(&product.name)));
        }
        page.push_str(&whole(&self.between));
        if express == Express::Shown
            && let Some(delivery) = slowest(products)
        {
            let line = self.express.replace("{{hours}}", &delivery.express_hours.to_string());
            page.push_str(&line.replace("{{fee}}", &money(delivery.express_price_cents)));
        }
        page.push_str(&whole(&self.after));
        page
    }
}

/// The delivery that decides when a basket of `products` arrives; `None` if any has no estimate.
#[must_use]
pub fn slowest(products: &[Product]) -> Option<&Delivery> {
    let all: Option<Vec<&Delivery>> = products.iter().map(|p| p.delivery.as_ref()).collect();
    all?.into_iter().max_by_key(|d| d.express_hours)
}

fn block<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, rest) = text.split_once(&format!("<!-- {name} -->"))?;
    let (inside, after) = rest.split_once(&format!("<!-- /{name} -->"))?;
    Some((before, inside, after))
}

fn money(cents: u64) -> String {
    format!("{}.{:02} €", cents / 100, cents % 100)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "<!-- pages {\"build\": \"1.1.0\", \"features\": [\"express-checkout\"]} -->\n\
        <p>{{user}}</p><!-- product -->[{{name}} {{price}}]<!-- /product -->-<!-- express -->{{hours}}h<!-- /express -->.";

    fn product(delivery: Option<Delivery>) -> Product {
        Product { sku: "a".into(), name: "Tea & cup".into(), price_cents: 1250, delivery }
    }

    #[test]
    fn a_page_escapes_what_it_was_given_and_hides_what_is_not_released() {
        let pages = Pages::parse(TEXT).unwrap();
        let delivery = Delivery { standard_hours: 72, express_hours: 24, express_price_cents: 490 };
        let products = [product(Some(delivery))];
        assert_eq!(pages.render("<b>", "1.1.0", &products, Express::Off), "<p>&lt;b&gt;</p>[Tea &amp; cup 12.50 €]-.");
        assert_eq!(pages.render("x", "1.1.0", &products, Express::Shown), "<p>x</p>[Tea &amp; cup 12.50 €]-24h.");
    }

    #[test]
    fn one_missing_estimate_leaves_no_delivery() {
        assert!(slowest(&[product(None)]).is_none());
    }

    #[test]
    fn every_page_of_the_example_parses() {
        for (text, asks) in [
            (include_str!("../builds/shop-web/1.0.0/pages.html"), false),
            (include_str!("../builds/shop-web/1.1.0/pages.html"), true),
            (include_str!("../builds/shop-web/1.2.0-broken/pages.html"), true),
            (include_str!("../builds/shop-web/1.2.1-broken-in-production/pages.html"), true),
        ] {
            assert_eq!(Pages::parse(text).unwrap().asks_for(EXPRESS), asks);
        }
    }
}
