//! One evaluation through the OpenFeature SDK with our provider, beside the same through the same SDK with a provider that
//! holds its answers in a map, and with one that knows a single answer: what is the SDK's own, and what ours adds.
//!
//! Version 0.3 of the SDK brings no provider in memory, so the one here is as those of its sisters are: a map from key to a
//! variant and, as theirs can, metadata. What the SDK copies of an answer it copies for both.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use greenroom_sdk::exposure::{Attribute, Pairs};
use greenroom_sdk::follow::Pace;
use greenroom_sdk::{Greenroom, Options, Provider};
use open_feature::provider::{FeatureProvider, ProviderMetadata, ResolutionDetails};
use open_feature::{Client, EvaluationContext, EvaluationError, EvaluationErrorCode, EvaluationReason, EvaluationResult, FlagMetadata, OpenFeature, StructValue, async_trait};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Many short ones: most are over before anyone else gets the processor.
const ROUNDS: usize = 1_001;
const CALLS: u32 = 512;
const FEATURES: usize = 10_000;
/// Of so many features is asked: of a few again and again, of a tenth, and of all, of which then none is in the nearest cache.
const ASKED: [usize; 3] = [64, FEATURES / 10, FEATURES];

/// Answers from a map, with metadata or without.
struct InMemory {
    answers: HashMap<String, ResolutionDetails<bool>>,
    metadata: ProviderMetadata,
}

/// Answers everything with the same.
struct Constant(ProviderMetadata);

const fn none<T>() -> EvaluationResult<ResolutionDetails<T>> {
    Err(EvaluationError { code: EvaluationErrorCode::TypeMismatch, message: None })
}

macro_rules! provider {
    ($provider:ty, $metadata:tt, |$this:ident, $key:ident| $bool:expr) => {
        #[async_trait]
        impl FeatureProvider for $provider {
            fn metadata(&self) -> &ProviderMetadata {
                &self.$metadata
            }

            async fn resolve_bool_value(&self, $key: &str, _: &EvaluationContext) -> EvaluationResult<ResolutionDetails<bool>> {
                let $this = self;
                $bool
            }

            async fn resolve_int_value(&self, _: &str, _: &EvaluationContext) -> EvaluationResult<ResolutionDetails<i64>> {
                none()
            }

            async fn resolve_float_value(&self, _: &str, _: &EvaluationContext) -> EvaluationResult<ResolutionDetails<f64>> {
                none()
            }

            async fn resolve_string_value(&self, _: &str, _: &EvaluationContext) -> EvaluationResult<ResolutionDetails<String>> {
                none()
            }

            async fn resolve_struct_value(&self, _: &str, _: &EvaluationContext) -> EvaluationResult<ResolutionDetails<StructValue>> {
                none()
            }
        }
    };
}

provider!(InMemory, metadata, |this, key| this.answers.get(key).cloned().ok_or(EvaluationError { code: EvaluationErrorCode::FlagNotFound, message: None }));
provider!(Constant, 0, |_this, _key| Ok(ResolutionDetails::new(true)));

fn key(index: usize) -> String {
    format!("shop/feature-{index}")
}

impl InMemory {
    fn new(metadata: Option<FlagMetadata>) -> Self {
        let details = ResolutionDetails { value: true, variant: Some("on".to_owned()), reason: Some(EvaluationReason::TargetingMatch), flag_metadata: metadata };
        Self { answers: (0..FEATURES).map(|index| (key(index), details.clone())).collect(), metadata: ProviderMetadata::new("in-memory") }
    }
}

/// What ours says of each answer.
fn metadata() -> FlagMetadata {
    FlagMetadata::default()
        .with_value("revision", 41_i32)
        .with_value("version", "41")
        .with_value("flagSetId", "production")
        .with_value("release", "autumn")
        .with_value("rule", "autumn/1")
}

/// Ours, from a signed copy on disk, with nobody to follow.
async fn ours(dir: &std::path::Path) -> Greenroom {
    let claims = json!([{"name": "autumn/1", "release": "autumn", "when": [{"attribute": "plan", "op": "in", "values": ["gold"]}], "then": {"variant": "on"}}]);
    let feature = json!({"type": "boolean", "variants": {"off": false, "on": true}, "off": "off", "claims": claims, "default": "off"});
    let features: serde_json::Map<_, _> = (0..FEATURES).map(|index| (key(index), feature.clone())).collect();
    let text = json!({"format": "greenroom/snapshot/1", "environment": "production", "revision": 41, "features": features}).to_string();
    let signer = SigningKey::from_bytes(&[9; 32]);
    let file = dir.join("production.json");
    let signature = STANDARD.encode(signer.sign(text.as_bytes()).to_bytes());
    std::fs::write(&file, format!("{{\"snapshot\":{text},\"signature\":\"{signature}\"}}")).expect("a directory that can be written to");
    let quiet = Pace { first: Duration::from_secs(3_600), most: Duration::from_secs(3_600), report: Duration::from_secs(3_600), ..Pace::default() };
    let options = Options::new("http://127.0.0.1:9", "none", STANDARD.encode(signer.verifying_key().as_bytes()));
    Greenroom::connect(options.build("shop-web", "1.2.0").copy(file).pace(quiet)).await.expect("options that are right")
}

async fn client(provider: impl FeatureProvider) -> Client {
    let mut api = OpenFeature::default();
    api.set_provider(provider).await;
    api.create_client()
}

/// Goes on where the round before stopped, and never from one neighbour to the next.
fn calls(round: usize, asked: usize) -> impl Iterator<Item = usize> {
    let first = round * CALLS as usize;
    // by a prime that divides none of them: everyone is asked once before anyone is again
    (first..first + CALLS as usize).map(move |at| at * 7_919 % asked)
}

async fn through(client: &Client, keys: &[String], round: usize, user: &EvaluationContext) -> f64 {
    let began = Instant::now();
    for at in calls(round, keys.len()) {
        let details = client.get_bool_details(&keys[at], Some(user), None).await;
        assert!(black_box(details).is_ok_and(|details| details.value));
    }
    began.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn plainly(asked: usize, round: usize, mut answer: impl FnMut(usize) -> bool) -> f64 {
    let began = Instant::now();
    for at in calls(round, asked) {
        assert!(black_box(answer(at)));
    }
    began.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let greenroom = ours(dir.path()).await;
    let keys: Vec<String> = (0..FEATURES).map(key).collect();
    let user = EvaluationContext::default().with_targeting_key("user-1").with_custom_field("plan", "gold");
    let clients = [
        client(Constant(ProviderMetadata::new("constant"))).await,
        client(InMemory::new(None)).await,
        client(InMemory::new(Some(metadata()))).await,
        client(Provider::new(greenroom.clone())).await,
    ];
    let caller = Pairs { targeting_key: Some("user-1"), attributes: &[("plan", Attribute::Text("gold"))] };
    let handles: Vec<_> = keys.iter().map(|key| greenroom.feature(key)).collect();
    let names = [
        "OpenFeature, a constant",
        "OpenFeature, a map without metadata",
        "OpenFeature, a map with the same metadata",
        "OpenFeature, ours, evaluated and counted",
        "plain API, by key, counted",
        "plain API, by held feature, counted",
    ];
    println!("{FEATURES} boolean features with one rule each, one thread, medians of {ROUNDS} interleaved rounds of {CALLS} calls, no two neighbours in a row");
    for asked in ASKED {
        let mut samples: [Vec<f64>; 6] = Default::default();
        for round in 0..ROUNDS {
            for (samples, client) in samples.iter_mut().zip(&clients) {
                samples.push(through(client, &keys[..asked], round, &user).await);
            }
            samples[4].push(plainly(asked, round, |at| greenroom.boolean(&keys[at], &caller, false)));
            samples[5].push(plainly(asked, round, |at| handles[at].boolean(&caller, false)));
        }
        let medians = samples.map(|mut samples| median(&mut samples));
        println!("\n| One answer of {asked} | ns | beside the map with metadata | adds, ns |");
        println!("|---|---:|---:|---:|");
        for (name, ns) in names.iter().zip(medians) {
            println!("| {name} | {ns:.0} | {:.2} | {:+.0} |", ns / medians[2], ns - medians[2]);
        }
    }
}
