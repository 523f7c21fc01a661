//! The programs as they run: what they answer, and that leaving fails nobody's request.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http_body_util::Full;
use serde_json::{Value, json};

/// A program of this package, ended with the test.
struct Process {
    child: Child,
    url: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    async fn start(program: &str, args: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["--listen", &format!("127.0.0.1:{port}")]).args(args).env("SHOP_OFREP_TOKEN", "secret");
        let process = Self { child: command.spawn().unwrap(), url };
        let began = Instant::now();
        while get(&process.url, "/ready").await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "{program} does not become ready");
            tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polls another task or process until a deadline
        }
        process
    }

    fn term(&self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }
}

fn build(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("builds").join(path).display().to_string()
}

async fn catalog(version: &str, control: &str) -> Process {
    let data = build(&format!("catalog/{version}/products.json"));
    Process::start(env!("CARGO_BIN_EXE_catalog"), &["--data", &data, "--control", control, "--version-label", version]).await
}

async fn shop_web(version: &str, catalog: &Process, control: &str) -> Process {
    let pages = build(&format!("shop-web/{version}/pages.html"));
    let args = ["--pages", &pages, "--catalog", &catalog.url, "--control", control, "--version-label", version, "--environment", "test"];
    Process::start(env!("CARGO_BIN_EXE_shop-web"), &args).await
}

async fn get(url: &str, path: &str) -> Result<reqwest::Response, reqwest::Error> {
    reqwest::Client::builder().no_proxy().build()?.get(format!("{url}{path}")).send().await
}

async fn cart(shop: &Process, user: &str) -> Value {
    get(&shop.url, &format!("/api/cart?user={user}")).await.unwrap().json().await.unwrap()
}

/// A control plane that answers `true` to staff while `alive`, and checks that it is asked properly.
async fn control(alive: Arc<AtomicBool>, asked: Arc<AtomicU32>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (alive, asked) = (Arc::clone(&alive), Arc::clone(&asked));
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (alive, asked) = (Arc::clone(&alive), Arc::clone(&asked));
                async move {
                    use http_body_util::BodyExt as _;
                    asked.fetch_add(1, Ordering::Relaxed);
                    if !alive.load(Ordering::Relaxed) {
                        std::future::pending::<()>().await;
                    }
                    assert_eq!(request.uri().path(), "/ofrep/v1/evaluate/flags/express-checkout");
                    assert_eq!(request.headers()["authorization"], "Bearer secret");
                    let body: Value = serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
                    assert!(["shop-web", "catalog"].contains(&body["context"]["app.service"].as_str().unwrap()));
                    let on = body["context"]["email"].as_str().is_some_and(|mail| mail.ends_with("@shop.example"));
                    let answer = json!({ "key": "express-checkout", "reason": "TARGETING_MATCH", "variant": "x", "value": on });
                    Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(bytes::Bytes::from(answer.to_string()))))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), service));
        }
    });
    url
}

#[tokio::test]
async fn the_express_button_follows_the_control_plane_and_survives_it() {
    let (alive, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let control = control(Arc::clone(&alive), Arc::clone(&asked)).await;
    let (old, new) = (catalog("1.0.0", &control).await, catalog("1.1.0", &control).await);

    let before = shop_web("1.0.0", &old, &control).await;
    assert_eq!(cart(&before, "ada@shop.example").await["express"], "not-built");
    assert_eq!(asked.load(Ordering::Relaxed), 0, "pages without the feature never ask");

    let shop = shop_web("1.1.0", &new, &control).await;
    assert_eq!(cart(&shop, "ada%40shop.example").await["express"], "shown");
    assert_eq!(cart(&shop, "bo@mail.example").await["express"], "off");
    assert!(get(&shop.url, "/?user=ada@shop.example").await.unwrap().text().await.unwrap().contains("at your door in 36 hours"));

    let half = shop_web("1.1.0", &old, &control).await;
    assert_eq!(cart(&half, "ada@shop.example").await["express"], "broken");

    let delivery = async |catalog: &Process, user: &str| -> Value { get(&catalog.url, &format!("/delivery?user={user}")).await.unwrap().json().await.unwrap() };
    assert_eq!(delivery(&new, "ada@shop.example").await, json!({"express": "shown", "hours": 36, "price_cents": 690}));
    assert_eq!(delivery(&new, "bo@mail.example").await, json!({"express": "off", "hours": 96}));
    assert_eq!(delivery(&old, "ada@shop.example").await, json!({"express": "not-built"}));

    alive.store(false, Ordering::Relaxed);
    assert_eq!(cart(&shop, "ada@shop.example").await["express"], "shown", "the last known answer");
    assert_eq!(cart(&shop, "cy@shop.example").await["express"], "off", "never heard of: off");
}

#[tokio::test]
async fn a_broken_build_serves_and_says_that_it_is_unwell() {
    let catalog = catalog("1.1.0", "").await;
    let shop = shop_web("1.2.0-broken", &catalog, "").await;
    assert_eq!(get(&shop.url, "/healthz").await.unwrap().status(), 500);
    assert_eq!(get(&shop.url, "/").await.unwrap().status(), 200);
    let late = shop_web("1.2.1-broken-in-production", &catalog, "").await;
    assert_eq!(get(&late.url, "/healthz").await.unwrap().status(), 200, "not here: this is `test`");
}

#[tokio::test]
async fn leaving_finishes_what_has_begun() {
    // A catalog that is slow enough for requests to be under way when the shop is told to leave.
    let slow = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow_url = format!("http://{}", slow.local_addr().unwrap());
    let begun = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&begun);
    tokio::spawn(async move {
        loop {
            let (stream, _) = slow.accept().await.unwrap();
            let count = Arc::clone(&count);
            let service = hyper::service::service_fn(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                async {
                    tokio::time::sleep(Duration::from_millis(600)).await; // sleep: polls another task or process until a deadline
                    let body = std::fs::read(build("catalog/1.0.0/products.json"))?;
                    Ok::<_, std::io::Error>(http::Response::new(Full::new(bytes::Bytes::from(body))))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), service));
        }
    });
    let pages = build("shop-web/1.0.0/pages.html");
    let mut shop = Process::start(env!("CARGO_BIN_EXE_shop-web"), &["--pages", &pages, "--catalog", &slow_url]).await;
    let requests: Vec<_> = (0..8)
        .map(|_| {
            let url = shop.url.clone();
            tokio::spawn(async move { get(&url, "/").await.unwrap().status() })
        })
        .collect();
    while begun.load(Ordering::Relaxed) < 8 {
        tokio::task::yield_now().await;
    }
    shop.term();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    let status = tokio::task::spawn_blocking(move || shop.child.wait().unwrap()).await.unwrap();
    assert!(status.success(), "{status}");
}
