//! The shop's checks: what its manifests run in each environment. Exit 0 the shop is good, 1 it is bad, 2 we could not
//! tell. Results go to `--junit FILE` with the requirement each case confirms.
//!
//! ```text
//! shop-check integration    --url SHOP --catalog CATALOG --junit FILE
//! shop-check functional     --url SHOP --junit FILE
//! shop-check non-functional --url SHOP --junit FILE [--within-ms 200] [--requests 100]
//! shop-check refresh        [--from CSV] --to CSV --junit FILE
//! shop-check real-data      --url SHOP --customers CSV --junit FILE
//! ```

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use shop::junit::Suite;
use shop::pages::Express;
use shop::{Args, Product, Products, note};

/// Where masked addresses live: a domain that can receive nothing (RFC 2606).
const MASKED: &str = "masked.invalid";

type Verdict = std::result::Result<(), String>;

#[derive(Deserialize)]
struct Cart {
    user: String,
    items: Vec<Product>,
    total_cents: u64,
    express: Express,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(suite) => {
            for (case, why) in suite.failures() {
                note(format_args!("failed: {case}: {why}"));
            }
            let failed = suite.failures().count();
            note(format_args!("{} passed, {failed} failed", suite.len() - failed));
            ExitCode::from(u8::from(failed > 0))
        }
        Err(error) => {
            note(format_args!("shop-check: {error:#}"));
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<Suite> {
    let mut words = std::env::args().skip(1);
    let check = words.next().context("which check? integration, functional, non-functional, refresh or real-data")?;
    let args = Args::parse(words)?;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let mut suite = Suite::new(&check);
    match check.as_str() {
        "integration" => integration(&mut suite, &http, &args).await?,
        "functional" => functional(&mut suite, &Web { http, url: args.url("url")? }).await,
        "non-functional" => non_functional(&mut suite, &Web { http, url: args.url("url")? }, &args).await?,
        "refresh" => refresh(&mut suite, &args)?,
        "real-data" => real_data(&mut suite, &Web { http, url: args.url("url")? }, &args).await?,
        other => bail!("`{other}` is not a check: use integration, functional, non-functional, refresh or real-data"),
    }
    if let Some(path) = args.get("junit") {
        suite.write(Path::new(path))?;
    }
    Ok(suite)
}

struct Web {
    http: reqwest::Client,
    url: String,
}

impl Web {
    async fn page(&self, user: &str) -> std::result::Result<String, String> {
        let request = self.http.get(format!("{}/", self.url)).query_user(user);
        let response = request.send().await.and_then(reqwest::Response::error_for_status);
        response.map_err(why)?.text().await.map_err(why)
    }

    async fn cart(&self, user: &str) -> std::result::Result<Cart, String> {
        let request = self.http.get(format!("{}/api/cart", self.url)).query_user(user);
        let response = request.send().await.and_then(reqwest::Response::error_for_status);
        response.map_err(why)?.json().await.map_err(why)
    }
}

trait QueryUser {
    fn query_user(self, user: &str) -> Self;
}

impl QueryUser for reqwest::RequestBuilder {
    /// As the cookie that a browser sends.
    fn query_user(self, user: &str) -> Self {
        if user.is_empty() { self } else { self.header("cookie", format!("user={user}")) }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn why(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// The builds that run here understand each other.
async fn integration(suite: &mut Suite, http: &reqwest::Client, args: &Args) -> Result<()> {
    let (web, catalog) = (Web { http: http.clone(), url: args.url("url")? }, args.url("catalog")?);
    let since = Instant::now();
    let products: Products = http.get(format!("{catalog}/products")).send().await?.error_for_status()?.json().await?;
    suite.case("the catalog lists products", None, since, ensure_that(!products.products.is_empty(), "the list is empty"));

    let since = Instant::now();
    let page = web.page("").await;
    let all_there = page.and_then(|page| {
        let missing: Vec<_> = products.products.iter().filter(|p| !page.contains(&format!("data-sku=\"{}\"", p.sku))).collect();
        ensure_that(missing.is_empty(), format!("{} products of the catalog are not on the page", missing.len()))
    });
    suite.case("the page shows what the catalog has", None, since, all_there);

    let since = Instant::now();
    let whole =
        web.cart("tester@shop.example").await.and_then(|cart| ensure_that(cart.express != Express::Broken, "express checkout is on, and the catalog has no delivery estimates"));
    suite.case("no feature is half there", None, since, whole);
    Ok(())
}

async fn functional(suite: &mut Suite, web: &Web) {
    let since = Instant::now();
    let listed = web.page("").await.and_then(|page| ensure_that(page.contains("data-sku="), "no product on the page"));
    suite.case("visitors see products with prices", Some("SHOP-1"), since, listed);

    let since = Instant::now();
    let sum = web.cart("tester").await.and_then(|cart| {
        let sum: u64 = cart.items.iter().map(|p| p.price_cents).sum();
        ensure_that(cart.total_cents == sum && sum > 0, format!("total {} instead of {sum}", cart.total_cents))
    });
    suite.case("the basket's total is the sum of its items", Some("SHOP-2"), since, sum);

    let since = Instant::now();
    let known = web.cart("ada@shop.example").await.and_then(|cart| ensure_that(cart.user == "ada@shop.example", format!("taken for `{}`", cart.user)));
    suite.case("a signed-in customer is recognised", Some("SHOP-3"), since, known);

    let since = Instant::now();
    let express = async {
        let (cart, page) = (web.cart("tester").await?, web.page("tester").await?);
        let offered = page.contains("name=\"express\"");
        ensure_that(offered == (cart.express == Express::Shown), format!("basket says {}, page disagrees", cart.express.as_str()))?;
        ensure_that(cart.express != Express::Broken, "express checkout is on without delivery estimates")?;
        ensure_that(!offered || cart.items.iter().all(|p| p.delivery.is_some()), "express offered for an item without an estimate")
    };
    suite.case("express checkout is offered only with a delivery estimate", Some("SHOP-4"), since, express.await);
}

async fn non_functional(suite: &mut Suite, web: &Web, args: &Args) -> Result<()> {
    let within = Duration::from_millis(args.get("within-ms").unwrap_or("200").parse().context("--within-ms")?);
    let requests: usize = args.get("requests").unwrap_or("100").parse().context("--requests")?;
    ensure!(requests > 0, "--requests must be at least 1");
    let since = Instant::now();
    let (mut took, mut failed) = (Vec::with_capacity(requests), 0);
    for _ in 0..requests {
        let start = Instant::now();
        match web.page("tester").await {
            Ok(_) => took.push(start.elapsed()),
            Err(_) => failed += 1,
        }
    }
    suite.case("every request is answered", Some("SHOP-10"), since, ensure_that(failed == 0, format!("{failed} of {requests} failed")));
    took.sort_unstable();
    // Nearest rank: the smallest time that 95 of 100 requests did not exceed.
    let p95 = took.get((took.len() * 95).div_ceil(100).saturating_sub(1)).copied();
    let fast = p95.map_or(Err("nothing was answered".to_owned()), |p95| ensure_that(p95 <= within, format!("95 % within {p95:.1?}, wanted {within:?}")));
    suite.case(&format!("95 % of pages within {} ms", within.as_millis()), Some("SHOP-11"), since, fast);
    Ok(())
}

/// A row of `customers.csv`: `customer_id,name,email,postcode,basket`, no quoting.
struct Customer<'a> {
    id: &'a str,
    name: &'a str,
    email: &'a str,
    postcode: &'a str,
    basket: &'a str,
}

fn customers(text: &str) -> Result<Vec<Customer<'_>>> {
    let mut lines = text.lines();
    ensure!(lines.next() == Some("customer_id,name,email,postcode,basket"), "the first line must name the columns customer_id,name,email,postcode,basket");
    let rows = lines.enumerate().map(|(n, line)| {
        let fields: Vec<&str> = line.split(',').collect();
        let [id, name, email, postcode, basket] = fields[..] else { bail!("line {} has {} columns instead of 5", n + 2, fields.len()) };
        Ok(Customer { id, name, email, postcode, basket })
    });
    rows.collect()
}

/// Copies production's customers without what identifies them. The masks are drawn anew each time and cannot be
/// undone, but one person has one mask, so joins still hold.
fn mask(rows: &[Customer<'_>]) -> String {
    let keys = RandomState::new();
    let mut masked = String::from("customer_id,name,email,postcode,basket\n");
    for row in rows {
        let who = keys.hash_one(row.email);
        let area: String = row.postcode.chars().take(2).collect();
        masked.push_str(&format!("{},Customer {:06x},{who:016x}@{MASKED},{area}xxx,{}\n", row.id, who >> 40, row.basket));
    }
    masked
}

/// Names and addresses of `rows` that can still be read in `text`.
fn left_over<'a>(rows: &[Customer<'a>], text: &str) -> Vec<&'a str> {
    let text = text.to_lowercase();
    rows.iter().flat_map(|row| [row.name, row.email]).filter(|secret| text.contains(&secret.to_lowercase())).collect()
}

fn refresh(suite: &mut Suite, args: &Args) -> Result<()> {
    let from = args.get("from").map(str::to_owned).or_else(|| std::env::var("SHOP_CUSTOMERS").ok());
    let from = from.unwrap_or_else(|| "examples/shop/data/customers.csv".to_owned());
    let to = args.path("to")?;
    let since = Instant::now();
    let source = std::fs::read_to_string(&from).with_context(|| format!("cannot read {from}"))?;
    let rows = customers(&source).with_context(|| format!("in {from}"))?;
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    // Whole or not at all: readers never meet half a refresh.
    let draft = to.with_extension("part");
    std::fs::write(&draft, mask(&rows)).with_context(|| format!("cannot write {}", draft.display()))?;
    let written = std::fs::read_to_string(&draft)?;
    suite.case("every customer was copied", None, since, ensure_that(written.lines().count() == rows.len() + 1, "rows are missing"));

    let left = left_over(&rows, &written).len();
    let unmasked = ensure_that(left == 0, format!("{left} names or addresses are still readable"));
    let foreign = written.matches('@').count() - written.matches(&format!("@{MASKED}")).count();
    suite.case("no name or address is left unmasked", Some("SHOP-20"), since, unmasked);
    suite.case("every address is one that cannot receive mail", Some("SHOP-20"), since, ensure_that(foreign == 0, format!("{foreign} are not")));
    if suite.failures().next().is_none() {
        std::fs::rename(&draft, &to).with_context(|| format!("cannot write {}", to.display()))?;
    } else {
        std::fs::remove_file(&draft)?;
    }
    Ok(())
}

async fn real_data(suite: &mut Suite, web: &Web, args: &Args) -> Result<()> {
    let path = args.path("customers")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("no refreshed data at {}", path.display()))?;
    let rows = customers(&text).with_context(|| format!("in {}", path.display()))?;
    ensure!(!rows.is_empty(), "{} holds no customer", path.display());
    let since = Instant::now();
    let open = rows.iter().filter(|row| !row.email.ends_with(MASKED)).count();
    suite.case("the data is masked", Some("SHOP-20"), since, ensure_that(open == 0, format!("{open} addresses are real")));

    let since = Instant::now();
    let mut refused = Vec::new();
    for row in &rows {
        if let Err(error) = web.cart(row.email).await {
            refused.push(format!("{}: {error}", row.id));
        }
    }
    suite.case("every real customer can order", Some("SHOP-21"), since, ensure_that(refused.is_empty(), refused.join("; ")));

    let since = Instant::now();
    let page = web.page("").await;
    let known = page.and_then(|page| {
        let mut sold: HashMap<&str, usize> = HashMap::new();
        for sku in rows.iter().flat_map(|row| row.basket.split(' ')) {
            *sold.entry(sku).or_default() += 1;
        }
        let gone: Vec<&str> = sold.into_keys().filter(|sku| !page.contains(&format!("data-sku=\"{sku}\""))).collect();
        ensure_that(gone.is_empty(), format!("in baskets but not in the catalog: {}", gone.join(", ")))
    });
    suite.case("what is in real baskets can still be bought", Some("SHOP-22"), since, known);
    Ok(())
}

fn ensure_that(holds: bool, else_why: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(else_why.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_leaves_nothing_readable_and_keeps_rows_apart() {
        let source = include_str!("../../data/customers.csv");
        let rows = customers(source).unwrap();
        let masked = mask(&rows);
        assert_eq!(left_over(&rows, &masked), Vec::<&str>::new());
        assert_eq!(left_over(&rows, source).len(), rows.len() * 2);
        let again = customers(&masked).unwrap();
        let distinct: std::collections::HashSet<_> = again.iter().map(|row| row.email).collect();
        assert_eq!(distinct.len(), rows.len());
    }
}
