//! flagd's services, as clients of gRPC and of plain HTTP see them.

mod evaluation;
mod events;
mod hostile;
mod port;
mod sync;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use greenroom_delivery::flagd::codec::Protobuf;
use greenroom_delivery::flagd::message::Ask;
use greenroom_delivery::flagd::value::Struct;
use greenroom_delivery::flagd::{Admission, Flagd};
use greenroom_delivery::{DataPlane, Feeds, Limits, Presence, Usage};
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::{Request, Status};

use crate::{Tokens, limits, snapshot};

pub struct Ports {
    pub feeds: Arc<Feeds>,
    pub presence: Arc<Presence>,
    pub usage: Arc<Usage>,
    pub evaluation: Router,
    pub sync: Router,
}

/// The ports of one environment: `production` is at revision 41, `test` at 7, `new` is not there.
pub fn ports_of(environment: &str, admission: Admission, limits: Limits) -> Ports {
    let (feeds, presence, usage) = (Arc::new(Feeds::default()), Arc::new(Presence::default()), Arc::new(Usage::default()));
    feeds.publish("production", snapshot("production", 41, true));
    feeds.publish("test", snapshot("test", 7, true));
    let plane = DataPlane::new(Arc::clone(&feeds), Arc::clone(&presence), Arc::new(Tokens), [7; 32]).with_usage(Arc::clone(&usage)).with_limits(limits);
    let flagd = Flagd::new(plane, environment, admission);
    Ports { feeds, presence, usage, evaluation: flagd.evaluation(), sync: flagd.sync() }
}

pub fn ports() -> Ports {
    ports_of("production", Admission::Anyone, limits())
}

fn asked<Q>(message: Q, metadata: &[(&'static str, &'static str)]) -> Request<Q> {
    let mut request = Request::new(message);
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// One call, and its answer.
pub async fn call<Q, A>(port: &Router, path: &'static str, message: Q, metadata: &[(&'static str, &'static str)]) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut client = Grpc::new(port.clone());
    let codec = Protobuf::<A, Q>::default();
    client.unary(asked(message, metadata), path.parse().unwrap(), codec).await.map(tonic::Response::into_inner)
}

/// A call that goes on, read by a task of its own as a client does it.
pub struct Answers<A>(mpsc::UnboundedReceiver<Result<A, Status>>);

impl<A: Message + Default + 'static> Answers<A> {
    pub async fn open<Q: Message + 'static>(port: &Router, path: &'static str, message: Q, metadata: &[(&'static str, &'static str)]) -> Result<Self, Status> {
        let mut client = Grpc::new(port.clone());
        let codec = Protobuf::<A, Q>::default();
        let mut answers = client.server_streaming(asked(message, metadata), path.parse().unwrap(), codec).await?.into_inner();
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(answer) = answers.message().await.transpose() {
                let last = answer.is_err();
                if sender.send(answer).is_err() || last {
                    break;
                }
            }
        });
        Ok(Self(receiver))
    }

    pub async fn next(&mut self) -> Result<A, Status> {
        tokio::time::timeout(Duration::from_secs(5), self.0.recv()).await.expect("an answer in time").expect("the stream goes on")
    }
}

pub fn ask(key: &str, context: &Value) -> Ask {
    Ask { flag_key: key.to_owned(), context: Some(Struct::from(context.as_object().unwrap())) }
}

pub fn fields(message: Option<&Struct>) -> Value {
    message.map_or_else(|| json!(null), Value::from)
}
