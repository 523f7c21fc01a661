//! A server in this process, on a directory of its own, with people who may do different things.

use std::path::Path;

use greenroom_server::Doors;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

pub struct World {
    pub dir: tempfile::TempDir,
    pub url: String,
    pub http: reqwest::Client,
    pub admin: String,
    running: Option<greenroom_server::Running>,
}

/// An answer with what matters of it.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn seq(&self) -> u64 {
        self.headers["greenroom-seq"].to_str().unwrap().parse().unwrap()
    }
}

pub async fn start(data: &Path) -> greenroom_server::Running {
    greenroom_server::start(data, Doors::http("127.0.0.1:0".parse().unwrap()), "greenroom".into()).await.unwrap()
}

impl World {
    /// With `ada` as admin, an environment `test`, one `production`, and a feature.
    pub async fn new() -> Self {
        Self::new_in(tempfile::tempdir().unwrap()).await
    }

    /// The same in a directory that lies somewhere special.
    pub async fn new_in(dir: tempfile::TempDir) -> Self {
        let running = start(&dir.path().join("data")).await;
        let (url, token) = (format!("http://{}", running.address), running.first_token.clone().unwrap());
        let mut world = Self { dir, url, http: reqwest::Client::new(), admin: String::new(), running: Some(running) };
        let joined = world.post("", "/setup", &json!({"token": token, "name": "ada", "password": "correct horse"})).await;
        assert_eq!(joined.status, 200, "{joined:?}");
        world.admin = joined.body["token"].as_str().unwrap().to_owned();
        let yaml = "apiVersion: greenroom/v1\nkind: Environment\nmetadata: { name: test }\nspec: { purpose: test, targets: [{ name: t, driver: command, address: a }] }\n---\n\
                    apiVersion: greenroom/v1\nkind: Environment\nmetadata: { name: production }\nspec: { purpose: production, targets: [{ name: p, driver: command, address: b }] }\n---\n\
                    apiVersion: greenroom/v1\nkind: Feature\nmetadata: { name: button }\nspec: { type: boolean, variants: { \"on\": true, \"off\": false }, \"off\": \"off\" }\n";
        let applied = world.put(&world.admin, "/manifests/here", &json!({"documents": [{"file": "here.yaml", "text": yaml}]})).await;
        assert_eq!(applied.status, 200, "{applied:?}");
        world
    }

    /// Adds a person with these roles and signs them in.
    pub async fn person(&self, name: &str, roles: &[&str]) -> String {
        let added = self.post(&self.admin, "/people", &json!({"name": name, "roles": roles, "password": "correct horse"})).await;
        assert_eq!(added.status, 201, "{added:?}");
        let signed_in = self.post("", "/login", &json!({"name": name, "password": "correct horse"})).await;
        signed_in.body["token"].as_str().unwrap_or_else(|| panic!("{signed_in:?}")).to_owned()
    }

    /// A token of a kind that no person stands behind.
    pub async fn token(&self, kind: &str, environment: Option<&str>) -> String {
        let mut request = json!({"kind": kind});
        if let Some(environment) = environment {
            request["environment"] = environment.into();
        }
        let made = self.post(&self.admin, "/tokens", &request).await;
        made.body["secret"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
    }

    pub fn request(&self, method: Method, token: &str, path: &str) -> RequestBuilder {
        let request =
            self.http.request(method, format!("{}{}{path}", self.url, if ["/ofrep", "/readyz", "/healthz"].iter().any(|root| path.starts_with(root)) { "" } else { "/api/v1" }));
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(self.request(Method::GET, token, path)).await
    }

    pub async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, token, path).json(body)).await
    }

    pub async fn put(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, token, path).json(body)).await
    }

    /// What `user` gets of the feature in `environment`.
    pub async fn evaluate(&self, token: &str, user: &str) -> Answer {
        self.send(self.request(Method::POST, token, "/ofrep/v1/evaluate/flags/button").json(&json!({"context": {"targetingKey": user}}))).await
    }

    pub async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    /// Where it was stopped.
    pub async fn start(&mut self) {
        let running = start(&self.dir.path().join("data")).await;
        self.url = format!("http://{}", running.address);
        self.running = Some(running);
    }
}
