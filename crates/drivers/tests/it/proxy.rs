//! The proxy on its own: it outlives, it is adopted, it keeps what it knows.

use greenroom_domain::deployment::placement::Health;
use greenroom_drivers::proxy::{self, Ensured, ROUTES_FILE};
use greenroom_drivers::{Driver as _, process::ProcessDriver};
use rustix::process::Signal;

use crate::client::{Users, ask, connect, get};
use crate::world::{Place, World, free_address, name, send, until};
use greenroom_drivers::proxy::Routes;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_adopted_outlives_hang_ups_and_keeps_its_last_good_routes() {
    let world = World::new();
    let (stable, target) = (world.place.stable.unwrap(), world.place.target());
    world.deploy("1.0", 1).await;
    let pid = proxy::running(&target).unwrap().unwrap().process.pid;
    let users = Users::start(stable, &[("GET", "/", "")]);

    assert_eq!(proxy::ensure(&world.place.proxy_program(), &target).await.unwrap(), Ensured::Adopted { pid });
    send(pid, Signal::HUP);
    let routes = std::fs::read_to_string(target.join(ROUTES_FILE)).unwrap();
    for torn in [&routes[..routes.len() / 2], ""] {
        std::fs::write(target.join(ROUTES_FILE), torn).unwrap();
        let before = users.count("1.0 0");
        until("answers", || async { (users.count("1.0 0") > before + 200).then_some(()) }).await;
    }
    std::fs::write(target.join(ROUTES_FILE), routes).unwrap();
    assert_eq!(proxy::running(&target).unwrap().unwrap().process.pid, pid);

    let another = ProcessDriver::new(world.place.proxy_program()).unwrap();
    another.apply(&world.desired("1.1", "well", 2)).await.unwrap();
    assert_eq!(proxy::running(&target).unwrap().unwrap().process.pid, pid, "a second control plane uses the same one");
    users.finish().await.assert_no_failure();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_it_nothing_is_healthy_and_applying_again_brings_it_back() {
    let world = World::new();
    let before = world.deploy("1.0", 1).await;
    let old = proxy::running(&world.place.target()).unwrap().unwrap().process.pid;
    send(old, Signal::KILL);
    let seen = until("unhealthy", || async { Some(world.observe().await).filter(|s| s.observation.health == Health::Unhealthy) }).await;
    assert_eq!((&seen.failure, &seen.unreachable), (&Some(format!("no proxy holds {}", world.place.stable.unwrap())), &seen.failure));
    assert!(!seen.settled && !seen.observation.serving.is_empty(), "what serves is as it was: {seen:?}");
    let began = std::time::Instant::now();
    let after = world.deploy("1.0", 1).await;
    assert!(began.elapsed().as_secs() < 5 && after.unreachable.is_none(), "{:?}, {after:?}", began.elapsed());
    assert_eq!((after.instances[0].pid, after.instances[0].restarts), (before.instances[0].pid, 0));
    assert_eq!(get(world.place.stable.unwrap(), "/").await.unwrap(), "1.0 0");

    proxy::stop(&world.place.target()).await.unwrap();
    assert!(proxy::running(&world.place.target()).unwrap().is_none());
    proxy::stop(&world.place.target()).await.unwrap();
}

/// As on a full disk: what stands where its files should go cannot be replaced, not even by root.
#[tokio::test(flavor = "multi_thread")]
async fn it_serves_on_while_it_can_write_nothing_and_speaks_again_when_it_can() {
    let world = World::new();
    let (stable, target) = (world.place.stable.unwrap(), world.place.target());
    std::fs::create_dir_all(&target).unwrap();
    let obstacles = ["proxy-state.json", "proxy.json"].map(|file| target.join(file).join("full"));
    obstacles.iter().for_each(|o| std::fs::create_dir_all(o).unwrap());
    let clear = || obstacles.iter().for_each(|o| std::fs::remove_dir_all(o.parent().unwrap()).unwrap());
    let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lead_to = |revision, backend: SocketAddr| {
        let routes = Routes { revision, routes: [(stable, backend)].into() };
        let new = target.join("routes.new");
        std::fs::write(&new, serde_json::to_vec(&routes).unwrap()).unwrap();
        std::fs::rename(new, target.join(ROUTES_FILE)).unwrap();
    };
    lead_to(1, free_address());
    let mut program = tokio::process::Command::new(world.place.proxy_program());
    program.arg("proxy").arg("--routes").arg(target.join(ROUTES_FILE)).env("GREENROOM_PROXY", &target).process_group(0);
    let pid = program.spawn().unwrap().id().unwrap();
    until("it listens though it cannot say so", || async { TcpStream::connect(stable).await.ok() }).await;
    clear();
    assert_eq!(proxy::ensure(&world.place.proxy_program(), &target).await.unwrap(), Ensured::Adopted { pid });

    std::fs::remove_file(target.join("proxy-state.json")).unwrap();
    std::fs::create_dir_all(&obstacles[0]).unwrap();
    lead_to(2, backend.local_addr().unwrap());
    let reached = until("it goes by its new routes", || async {
        drop(TcpStream::connect(stable).await.unwrap().write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await);
        tokio::time::timeout(std::time::Duration::from_millis(100), backend.accept()).await.ok()
    });
    reached.await.unwrap();
    std::fs::remove_dir_all(target.join("proxy-state.json")).unwrap();
    assert_eq!(proxy::ensure(&world.place.proxy_program(), &target).await.unwrap(), Ensured::Adopted { pid }, "it never left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_cannot_be_started_is_said_so() {
    let world = World::new();
    let driver = ProcessDriver::new("/nowhere/greenroom").unwrap();
    let e = driver.apply(&world.desired("1.0", "well", 1)).await.unwrap_err();
    assert_eq!(e.to_string(), "cannot start the proxy `/nowhere/greenroom`");
    assert!(!e.is_final());
    let driver = ProcessDriver::new("/bin/false").unwrap();
    let e = driver.apply(&world.desired("1.0", "well", 1)).await.unwrap_err();
    assert!(e.to_string().ends_with("ended at once: it said nothing"), "{e}");
    world.deploy("1.0", 1).await;
    assert_eq!(world.processes(1).len(), 1, "the process waited for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_in_both_directions() {
    let world = World::new();
    world.deploy("1.0", 1).await;
    let mut connection = connect(world.place.stable.unwrap()).await.unwrap();
    let large: &'static str = Box::leak("x".repeat(300_000).into_boxed_str());
    for _ in 0..3 {
        assert_eq!(ask(&mut connection, "POST", "/", large).await.unwrap(), "1.0 300000");
        assert_eq!(ask(&mut connection, "PUT", "/", "small").await.unwrap(), "1.0 5");
        assert_eq!(ask(&mut connection, "HEAD", "/", "").await.unwrap(), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_a_target_share_one_and_come_to_it_at_the_same_time() {
    let world = World::new();
    let other = Place { stable: Some(free_address()), ..world.place.clone() };
    let web = world.desired("1.0", "well", 1);
    let mut tax = other.desired("3.0", "well", 2);
    tax.key.service = name("tax");
    tax.endpoints = [(name("tax"), other.stable.unwrap())].into();
    let (first, second) = tokio::join!(world.driver.apply(&web), world.driver.apply(&tax));
    first.and(second).unwrap();
    assert_eq!(get(world.place.stable.unwrap(), "/").await.unwrap(), "1.0 0");
    assert_eq!(get(other.stable.unwrap(), "/").await.unwrap(), "3.0 0");
    assert!(world.driver.observe(&web.place()).await.unwrap().settled && world.driver.observe(&tax.place()).await.unwrap().settled);
}

/// A proxy in front of a backend that the test plays itself.
async fn proxied(world: &World, backend: SocketAddr) -> SocketAddr {
    let stable = world.place.stable.unwrap();
    std::fs::create_dir_all(world.place.target()).unwrap();
    let routes = Routes { revision: 1, routes: [(stable, backend)].into() };
    std::fs::write(world.place.target().join(ROUTES_FILE), serde_json::to_vec(&routes).unwrap()).unwrap();
    proxy::ensure(&world.place.proxy_program(), &world.place.target()).await.unwrap();
    stable
}

/// Reads one request up to the end of its head and body.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let seen = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = seen.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return seen;
            }
        }
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "cut off: {seen}");
        text.extend_from_slice(&buffer[..n]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_backend_that_does_not_accept_yet() {
    let world = World::new();
    let backend = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stable = proxied(&world, backend).await;
    let asking = [tokio::spawn(get(stable, "/")), tokio::spawn(async move { ask(&mut connect(stable).await.unwrap(), "POST", "/", "abc").await })];
    let listener = TcpListener::bind(backend).await.unwrap();
    for _ in &asking {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    }
    for answer in asking {
        assert_eq!(answer.await.unwrap().unwrap(), "ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_that_has_ended_costs_nothing_and_nothing_is_done_twice_that_may_not_be() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stable = proxied(&world, listener.local_addr().unwrap()).await;
    let backend = tokio::spawn(async move {
        // Twice: an answer on a connection that looks kept, which then ends without a word.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(request(&mut stream).await.starts_with("GET /"));
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
        // A request is taken and never answered.
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(request(&mut stream).await.starts_with("POST /"));
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        let next = request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        next
    });
    let mut user = connect(stable).await.unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&mut user, "GET", "/", "").await.unwrap(), "ok");
    }
    let broken = ask(&mut user, "POST", "/", "abc").await.unwrap_err();
    assert!(broken.starts_with("502"), "{broken}");
    assert_eq!(ask(&mut user, "GET", "/last", "").await.unwrap(), "ok");
    let next = backend.await.unwrap();
    assert!(next.starts_with("GET /last HTTP/1.1\r\n"), "the POST was not sent again: {next}");
    assert!(next.contains("host: shop\r\n") && next.contains("x-forwarded-for: 127.0.0.1\r\n"), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_change_its_protocol() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stable = proxied(&world, listener.local_addr().unwrap()).await;
    let backend = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await.unwrap();
        let mut buffer = [0; 4];
        stream.read_exact(&mut buffer).await.unwrap();
        stream.write_all(&buffer).await.unwrap();
        head
    });
    let mut user = TcpStream::connect(stable).await.unwrap();
    user.write_all(b"GET /chat HTTP/1.1\r\nhost: shop\r\nconnection: keep-alive, Upgrade\r\nupgrade: echo\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(user.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    user.write_all(b"ping").await.unwrap();
    let mut buffer = [0; 4];
    user.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"ping");
    assert!(backend.await.unwrap().contains("upgrade: echo\r\n"));
}
