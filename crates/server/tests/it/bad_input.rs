//! What is wrong is refused with one clear error that names its place and the remedy, and changes nothing.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::world::World;

/// Where it stands and what helps, as the answer says it in whichever field.
struct Told {
    status: u16,
    code: &'static str,
    place: &'static str,
    remedy: &'static str,
}

const fn told(status: u16, code: &'static str, place: &'static str, remedy: &'static str) -> Told {
    Told { status, code, place, remedy }
}

async fn refused(world: &World, request: RequestBuilder, expected: Told) {
    let before = head(world).await;
    let answer = world.send(request).await;
    let said = answer.body.to_string();
    assert_eq!((answer.status.as_u16(), answer.code()), (expected.status, expected.code), "{said}");
    assert!(said.contains(expected.place), "the place `{}` is not in {said}", expected.place);
    assert!(said.contains(expected.remedy), "the remedy `{}` is not in {said}", expected.remedy);
    assert_eq!(head(world).await, before, "something was changed by what was refused with {said}");
}

async fn head(world: &World) -> u64 {
    world.get(&world.admin, "/board").await.seq()
}

const BASELINE: &str = "/features/button/baseline";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_read() {
    let world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let put = |body: Vec<u8>| world.request(Method::PUT, &eva, BASELINE).body(body);
    let unknown = put(br#"{"environment": "test", "variant": "on", "colour": "red"}"#.to_vec());
    refused(&world, unknown, told(400, "invalid", "unknown field `colour`", "/openapi.json")).await;
    let wrong = put(b"{\"environment\": \"test\",\n \"variant\": 7}".to_vec());
    refused(&world, wrong, told(400, "invalid", "line 2, column 13", "expected")).await;
    let garbled = put(b"{\"environment\": \"te\xffst\"}".to_vec());
    refused(&world, garbled, told(400, "invalid", "from byte 19", "send JSON in UTF-8")).await;
    let large = put(vec![b' '; 17 * 1024 * 1024]);
    refused(&world, large, told(413, "too-large", "larger than 16 MiB", "send less, or in parts")).await;
    let keyed = |variant: &str| {
        let body = json!({"environment": "test", "variant": variant});
        world.request(Method::PUT, &eva, BASELINE).header("idempotency-key", "k").json(&body)
    };
    assert_eq!(world.send(keyed("on")).await.status, 200);
    refused(&world, keyed("off"), told(422, "idempotency-key-reused", "Idempotency-Key", "send a new key with a new request")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_for_this() {
    let world = World::new().await;
    let sdk = world.token("sdk", Some("test")).await;
    // as Unleash's SDKs name the environment that they believe to be in
    let elsewhere = world.http.get(format!("{}/api/client/features", world.url)).header("authorization", format!("default:production.{sdk}"));
    refused(&world, elsewhere, told(403, "", "this token does not open that", "each in its own environment")).await;
    let ci = world.post(&world.admin, "/tokens", &json!({"kind": "ci", "valid_for": "1s"})).await.body["secret"].as_str().unwrap().to_owned();
    let short = world.post(&world.admin, "/tokens", &json!({"kind": "sdk", "environment": "test", "valid_for": "1s"})).await.body["secret"].as_str().unwrap().to_owned();
    while world.get(&ci, "/board").await.status == 200 || world.evaluate(&short, "u").await.status == 200 {
        tokio::task::yield_now().await;
    }
    let build = world.request(Method::POST, &ci, "/builds").json(&json!({}));
    refused(&world, build, told(401, "unauthenticated", "the token has expired", "greenroom login")).await;
    let evaluate = world.request(Method::POST, &short, "/ofrep/v1/evaluate/flags/button").json(&json!({"context": {"targetingKey": "u"}}));
    refused(&world, evaluate, told(401, "", "expired", "greenroom token create")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_contradict_themselves() {
    let world = World::new().await;
    let apply = |text: String| world.request(Method::PUT, &world.admin, "/manifests/more").json(&json!({"documents": [{"file": "more.yaml", "text": text}]}));
    let environment = |name: &str, rest: &str| format!("---\napiVersion: greenroom/v1\nkind: Environment\nmetadata: {{ name: {name} }}\nspec:\n  purpose: test\n{rest}");
    let unknown = environment("a", "  policies: [nothing]\n  targets: []\n");
    refused(&world, apply(unknown), told(400, "invalid", "more.yaml:7", "define it in this set, or correct the name")).await;
    let cycle = environment("a", "  after: [b]\n  targets: []\n") + &environment("b", "  after: [a]\n  targets: []\n");
    refused(&world, apply(cycle), told(400, "invalid", "more.yaml:", "let builds move in one direction only")).await;
    let targets = environment("a", "  targets:\n    - { name: x, driver: command, address: here }\n    - { name: y, driver: command, address: here }\n");
    refused(&world, apply(targets), told(400, "invalid", "more.yaml:9", "give each target its own address")).await;
    let misspelt = environment("a", "  targets: []\n  polices: []\n");
    refused(&world, apply(misspelt), told(400, "invalid", "more.yaml:8", "policies")).await;
    let mistyped = environment("a", "  targets: 7\n");
    refused(&world, apply(mistyped), told(400, "invalid", "more.yaml:7", "expected")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_and_releases_that_cannot_be() {
    let world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let rosa = world.person("rosa", &["release-manager"]).await;
    let web = "apiVersion: greenroom/v1\nkind: Service\nmetadata: { name: web }\nspec: { components: [server], recipes: { command: { apply: [\"false\"], observe: [\"false\"] } } }\n---\n\
               apiVersion: greenroom/v1\nkind: Feature\nmetadata: { name: colour }\nspec: { type: string, variants: { red: red, green: green, grey: grey }, off: grey }\n";
    assert_eq!(world.put(&world.admin, "/manifests/web", &json!({"documents": [{"file": "web.yaml", "text": web}]})).await.status, 200);
    let artifacts = json!({"server": {"uri": "file:///web", "digests": [format!("sha256:{}", "b".repeat(64))]}});
    let build = world.request(Method::POST, &eva, "/builds").json(&json!({"service": "web", "version": "1.0.0", "artifacts": artifacts, "requires": ["nothing>=1.0.0"]}));
    refused(&world, build, told(400, "invalid", "requires[0]", "correct the name, or define the service first")).await;

    let plan = |name: &str, more: Value| {
        let mut spec = json!({"features": [{"key": "button", "variant": "on"}], "stages": [{"name": "all", "share": "100%"}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.request(Method::PUT, &rosa, &format!("/releases/{name}")).json(&json!({"spec": spec}))
    };
    let much = plan("spring", json!({"stages": [{"name": "all", "share": "120%"}]}));
    refused(&world, much, told(400, "invalid", "line 1, column", "use 0% to 100%")).await;
    let shrinking = plan("spring", json!({"stages": [{"name": "half", "share": "50%"}, {"name": "tenth", "share": "10%"}]}));
    refused(&world, shrinking, told(400, "invalid", "spec.stages[1]", "stages are cumulative and only grow")).await;
    let past = plan("spring", json!({"mode": {"scheduled": "2020-01-01T00:00:00Z"}}));
    refused(&world, past, told(400, "invalid", "spec.mode.scheduled", "give a time in the future")).await;
    let nobody = plan("spring", json!({"features": [{"key": "nothing", "variant": "on"}]}));
    refused(&world, nobody, told(400, "invalid", "spec.features[0].key", "define it first")).await;

    let start = |name: &str| world.request(Method::POST, &rosa, &format!("/releases/{name}/start")).json(&json!({}));
    let painted = |name: &str, variant: &str| plan(name, json!({"features": [{"key": "colour", "variant": variant}]}));
    for request in [painted("spring", "red"), start("spring")] {
        let done = world.send(request).await;
        assert_eq!(done.status, 200, "{done:?}");
    }
    let other = painted("autumn", "green");
    refused(&world, other, told(400, "invalid", "spec.features[0].variant", "serve the same variant, or close the other release first")).await;
}
