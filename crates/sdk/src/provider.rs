//! The provider for the OpenFeature SDK: its five types, its reasons and codes, and what our answers say beyond them as
//! metadata of the flag.

mod context;
mod said;
mod value;

use greenroom_exposure::model::ValueType;
use greenroom_exposure::{Answer, Reason};
use greenroom_follow::{Broken, Contact};
use open_feature::provider::{FeatureProvider, ProviderMetadata, ProviderStatus, ResolutionDetails};
use open_feature::{EvaluationContext, EvaluationError, EvaluationErrorCode, EvaluationReason, EvaluationResult, StructValue, async_trait};

use self::context::Asked;
pub(crate) use self::said::Said;
use crate::{Greenroom, NoAnswer};

/// Answers OpenFeature from a followed environment.
#[derive(Debug)]
pub struct Provider {
    greenroom: Greenroom,
    metadata: ProviderMetadata,
}

impl Provider {
    #[must_use]
    pub fn new(greenroom: Greenroom) -> Self {
        Self { greenroom, metadata: ProviderMetadata::new("greenroom") }
    }

    /// `read` gives the value if it is of the type that was asked for.
    #[inline]
    fn resolve<T>(&self, key: &str, context: &EvaluationContext, asked: &str, read: impl FnOnce(&Answer<'_>) -> Option<T>) -> EvaluationResult<ResolutionDetails<T>> {
        let now = self.greenroom.now().map_err(failed)?;
        let answer = now.uncounted(key, &Asked::new(context)).map_err(failed)?;
        if answer.needs_targeting_key() {
            return Err(error(EvaluationErrorCode::TargetingKeyMissing, "the answer depends on the targeting key, and the context has none"));
        }
        let Some(value) = read(&answer) else {
            let is = word(answer.value_type());
            return Err(error(EvaluationErrorCode::TypeMismatch, &format!("the feature is of type {is}, and {asked} was asked for")));
        };
        now.count(&answer);
        let details = ResolutionDetails {
            value,
            variant: Some(answer.variant().to_owned()),
            reason: Some(reason(answer.reason())),
            flag_metadata: Some(now.live().map_err(failed)?.said.of(&answer)),
        };
        Ok(details)
    }
}

fn error(code: EvaluationErrorCode, message: &str) -> EvaluationError {
    EvaluationError { code, message: Some(message.to_owned()) }
}

#[cold]
fn failed(why: NoAnswer) -> EvaluationError {
    let code = match why {
        NoAnswer::NotReady => EvaluationErrorCode::ProviderNotReady,
        NoAnswer::NotFound => EvaluationErrorCode::FlagNotFound,
        NoAnswer::Unusable => EvaluationErrorCode::General("GENERAL".to_owned()),
    };
    error(code, &why.to_string())
}

const fn word(of: ValueType) -> &'static str {
    match of {
        ValueType::Boolean => "boolean",
        ValueType::String => "string",
        ValueType::Integer => "integer",
        ValueType::Float => "float",
        ValueType::Object => "object",
    }
}

const fn reason(ours: Reason) -> EvaluationReason {
    match ours {
        Reason::Static => EvaluationReason::Static,
        Reason::TargetingMatch => EvaluationReason::TargetingMatch,
        Reason::Split => EvaluationReason::Split,
        Reason::Disabled => EvaluationReason::Disabled,
        Reason::Default => EvaluationReason::Default,
    }
}

#[async_trait]
impl FeatureProvider for Provider {
    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    fn status(&self) -> ProviderStatus {
        let state = self.greenroom.state();
        let state = state.borrow();
        match (&state.contact, state.held.is_some()) {
            (Contact::Live, true) => ProviderStatus::Ready,
            (_, true) => ProviderStatus::STALE,
            // nothing but another key or token will help
            (Contact::Lost(why), false) if matches!(**why, Broken::Denied | Broken::Refused(_)) => ProviderStatus::Error,
            (_, false) => ProviderStatus::NotReady,
        }
    }

    async fn resolve_bool_value(&self, key: &str, context: &EvaluationContext) -> EvaluationResult<ResolutionDetails<bool>> {
        self.resolve(key, context, "boolean", |answer| answer.boolean())
    }

    async fn resolve_int_value(&self, key: &str, context: &EvaluationContext) -> EvaluationResult<ResolutionDetails<i64>> {
        self.resolve(key, context, "integer", |answer| if answer.value_type() == ValueType::Integer { value::integer(answer.value()) } else { None })
    }

    async fn resolve_float_value(&self, key: &str, context: &EvaluationContext) -> EvaluationResult<ResolutionDetails<f64>> {
        self.resolve(key, context, "float", |answer| if answer.value_type() == ValueType::Float { answer.value().as_f64() } else { None })
    }

    async fn resolve_string_value(&self, key: &str, context: &EvaluationContext) -> EvaluationResult<ResolutionDetails<String>> {
        self.resolve(key, context, "string", |answer| answer.value().as_str().map(str::to_owned))
    }

    async fn resolve_struct_value(&self, key: &str, context: &EvaluationContext) -> EvaluationResult<ResolutionDetails<StructValue>> {
        self.resolve(key, context, "object", |answer| answer.value().as_object().map(value::fields))
    }
}
