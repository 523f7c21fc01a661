//! Why someone gets what they get, now or then: the same program, traced.

use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_api::views::Explained;
use greenroom_domain::exposure;
use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::time::At;
use greenroom_exposure::{Json, Snapshot};
use serde_json::{Map, Value};

use crate::engine::checkpoint;
use crate::http::Look;

pub fn explain(look: &Look<'_>, feature: &FeatureKey, environment: &Name, context: &Map<String, Value>, at: Option<At>) -> Result<Explained, Problem> {
    let past;
    let state = match at {
        None => look.state,
        Some(at) if at > look.now => {
            return Err(Problem::new(Code::Invalid, format!("{at} is in the future: until then anything may be decided"))
                .detail("give an instant that has passed, or leave --at out to ask about now"));
        }
        Some(at) => {
            let seq = look.engine.reader.event_at(at.0).map_err(|error| Problem::new(Code::StorageUnavailable, error.to_string()))?;
            past = checkpoint::at(&look.engine.checkpoints, &look.engine.reader, seq).map_err(|error| Problem::new(Code::StorageUnavailable, error.to_string()))?;
            &past
        }
    };
    if !state.environments.contains_key(environment) {
        return Err(Problem::new(Code::NotFound, format!("there is no environment `{environment}`{}", if at.is_some() { " at that time" } else { "" })));
    }
    let model = exposure::compile(state, environment, &|sealed| look.engine.directory.text(sealed));
    let (snapshot, _) = Snapshot::compile(&model);
    let context = Json(context);
    let missing = || Problem::new(Code::NotFound, format!("there is no feature `{feature}`"));
    let answer = snapshot.evaluate(feature.as_str(), &context).ok_or_else(missing)?;
    let trace = snapshot.explain(feature.as_str(), &context).ok_or_else(missing)?;
    Ok(Explained {
        feature: feature.clone(),
        environment: environment.clone(),
        revision: model.revision,
        at: at.unwrap_or(look.now),
        variant: answer.variant().to_owned(),
        value: answer.value().clone(),
        reason: answer.reason().as_str().to_owned(),
        rule: answer.rule().map(str::to_owned),
        release: answer.release().map(str::to_owned),
        blocked_by: answer.blocked_by().map(str::to_owned),
        trace: serde_json::to_value(&trace).unwrap_or(Value::Null),
    })
}
