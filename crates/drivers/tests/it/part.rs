//! The parts that this binary plays in processes of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use greenroom_drivers::Driver as _;
use greenroom_drivers::process::ProcessDriver;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::signal::unix::{SignalKind, signal};

use crate::world;

pub const ROLE: &str = "TEST_ROLE";

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub fn play() {
    let Some(role) = var(ROLE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match role.as_str() {
        "service" => runtime.block_on(serve()),
        "proxy" => runtime.block_on(greenroom_drivers::proxy::run(var("TEST_ROUTES").unwrap().into())).unwrap(),
        "engine" => runtime.block_on(engine()),
        other => panic!("no part `{other}`"),
    }
    std::process::exit(0);
}

/// A service that behaves as `TEST_BEHAVIOUR` says: `crash`, `never-ready`, `deaf`, or well.
async fn serve() {
    let (version, behaviour) = (var("TEST_VERSION").unwrap(), var("TEST_BEHAVIOUR").unwrap());
    if behaviour == "crash" {
        std::io::Write::write_all(&mut std::io::stdout(), b"no such table: prices\n").unwrap();
        std::process::exit(3);
    }
    let deaf = behaviour == "deaf";
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let listener = tokio::net::TcpListener::bind(var("TEST_LISTEN").unwrap()).await.unwrap();
    let busy = Arc::new(AtomicUsize::new(0));
    let ready = behaviour != "never-ready";
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                let (version, busy) = (version.clone(), Arc::clone(&busy));
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, version.clone(), Arc::clone(&busy), ready));
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            _ = terminate.recv() => if !deaf { break },
        }
    }
    drop(listener);
    while busy.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

async fn answer(request: Request<Incoming>, version: String, busy: Arc<AtomicUsize>, ready: bool) -> Result<Response<Full<Bytes>>, Infallible> {
    busy.fetch_add(1, Ordering::SeqCst);
    let path = request.uri().path().to_owned();
    let sent = request.into_body().collect().await.map(|b| b.to_bytes().len()).unwrap_or(0);
    if let Some(ms) = path.strip_prefix("/slow/") {
        tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await; // sleep: polls another task or process until a deadline
    }
    let mut response = Response::new(Full::new(Bytes::from(format!("{version} {sent}"))));
    if path == "/ready" && !ready {
        *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
    }
    busy.fetch_sub(1, Ordering::SeqCst);
    Ok(response)
}

/// A control plane that applies one operation and is killed at the point it is told.
async fn engine() {
    let point = var("TEST_CRASH_AT").unwrap();
    let hook = Arc::new(move |here: &'static str| {
        if here == point {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            std::thread::park();
        }
    });
    let place = world::Place::from_environment();
    let desired = place.desired(&var("TEST_VERSION").unwrap(), "well", var("TEST_NUMBER").unwrap().parse().unwrap());
    let driver = ProcessDriver::with_hook(place.proxy_program(), hook).unwrap();
    driver.apply(&desired).await.unwrap();
}
