//! The command line through a proxy that ends TLS in front of the server.

use std::path::Path;

use serde_json::Value;

use crate::front;
use crate::program::{Program, greenroom, text};

#[test]
fn the_command_line_signs_in_and_asks_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let server = Program::start(&home, &["serve", "--data", &dir.path().join("data").display().to_string(), "--listen", "127.0.0.1:0"], 1);
    let first = server.said.split_whitespace().find(|word| word.starts_with("gr_first_")).expect("a token");
    let proxies = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let url = proxies.block_on(front::terminate(&format!("http://{}", server.address)));

    let run = |authorities: &Path, args: &[&str]| greenroom(&home, args).env("SSL_CERT_FILE", authorities).env_remove("SSL_CERT_DIR").output().expect("the binary runs");
    let known = front::file("authority.pem");
    for args in [&["login", "--server", &url, "--name", "ada", "--first-token", first][..], &["preset", "solo"]] {
        let done = run(&known, args);
        assert!(done.status.success(), "{args:?}: {}", text(&done));
    }
    let who: Value = serde_json::from_slice(&run(&known, &["whoami", "--json"]).stdout).expect("JSON");
    assert_eq!(who["person"]["name"], "ada", "{who}");

    let refused = |authorities: &Path, server: &str, words: &[&str]| {
        let output = run(authorities, &["whoami", "--server", server, "--token", "x"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(9), "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "`{word}` is not in: {said}"));
    };
    let untrusted = format!("cannot trust {url}: its certificate is signed by no authority that this machine believes");
    refused(&front::file("another.pem"), &url, &[&untrusted, "→ if you trust the authority", "SSL_CERT_FILE"]);
    refused(&known, &url.replace("localhost", "127.0.0.1"), &["its certificate is not for `127.0.0.1`, but for localhost", "→ reach it by a name"]);
    refused(&known, &format!("https://{}", server.address), &["it does not speak TLS", "→ if it speaks plain HTTP there, write http://"]);
    refused(&dir.path().join("nowhere.pem"), &url, &["no certificate of an authority is found", "nowhere.pem", "name a file of them in SSL_CERT_FILE"]);
}
