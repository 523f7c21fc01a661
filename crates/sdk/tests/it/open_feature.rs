//! Through the OpenFeature SDK.

use greenroom_sdk::Provider;
use open_feature::provider::{FeatureProvider as _, ProviderStatus};
use open_feature::{Client, EvaluationContext, EvaluationErrorCode, EvaluationReason, FlagMetadataValue, OpenFeature, StructValue};

use crate::host::Host;
use crate::{at, connect, options};

async fn client(host: &Host) -> Client {
    let greenroom = connect(options(host)).await;
    at(&greenroom, 41).await;
    let mut api = OpenFeature::default();
    api.set_provider(Provider::new(greenroom)).await;
    api.create_client()
}

fn ann() -> EvaluationContext {
    EvaluationContext::default().with_targeting_key("ann").with_custom_field("plan", "gold")
}

#[tokio::test]
async fn all_five_types() {
    let host = Host::start();
    let client = client(&host).await;
    assert_eq!(client.get_bool_value("gold", Some(&ann()), None).await, Ok(true));
    assert_eq!(client.get_int_value("limit", None, None).await, Ok(10));
    assert_eq!(client.get_float_value("ratio", None, None).await, Ok(10.0));
    assert_eq!(client.get_string_value("greeting", None, None).await, Ok("say \"hi\"".to_owned()));
    let theme = client.get_struct_value::<StructValue>("theme", None, None).await;
    assert_eq!(theme, Ok(StructValue::default().with_field("dark", true).with_field("size", 3)));
}

#[tokio::test]
async fn reasons_and_metadata_are_those_of_ofrep() {
    let host = Host::start();
    let client = client(&host).await;
    let mut said = Vec::new();
    for key in ["plain", "gold", "held", "new-build", "late"] {
        let details = client.get_bool_details(key, Some(&ann()), None).await.unwrap();
        let text = |name: &str| match details.flag_metadata.values.get(name) {
            Some(FlagMetadataValue::String(text)) => text.clone(),
            Some(FlagMetadataValue::Int(number)) => number.to_string(),
            None => String::new(),
            other => panic!("{other:?}"),
        };
        assert_eq!(["revision", "version", "flagSetId"].map(text), ["41", "41", "production"]);
        said.push((key, details.value, details.variant.clone().unwrap(), details.reason.clone().unwrap(), ["release", "rule", "blocked_by"].map(text)));
    }
    let none = || String::new();
    let of = |text: &str| text.to_owned();
    assert_eq!(
        said,
        [
            ("plain", true, of("on"), EvaluationReason::Static, [none(), none(), none()]),
            ("gold", true, of("on"), EvaluationReason::TargetingMatch, [of("autumn"), of("rule"), none()]),
            ("held", false, of("off"), EvaluationReason::Disabled, [of("autumn"), of("autumn/1"), of("need:tax>=1.4")]),
            ("new-build", true, of("on"), EvaluationReason::TargetingMatch, [of("autumn"), of("rule"), none()]),
            ("late", false, of("off"), EvaluationReason::Default, [none(), none(), none()]),
        ]
    );
    let share = client.get_bool_details("share", Some(&EvaluationContext::default().with_targeting_key("user-3")), None).await.unwrap();
    let default = client.get_bool_details("share", Some(&EvaluationContext::default().with_targeting_key("user-4")), None).await.unwrap();
    assert!([share.reason, default.reason].iter().flatten().all(|reason| [EvaluationReason::Split, EvaluationReason::Default].contains(reason)));
}

#[tokio::test]
async fn errors_have_their_codes() {
    let host = Host::start();
    let client = client(&host).await;
    let code = |result: open_feature::EvaluationResult<bool>| result.unwrap_err().code;
    assert_eq!(code(client.get_bool_value("unheard", None, None).await), EvaluationErrorCode::FlagNotFound);
    assert_eq!(code(client.get_bool_value("limit", None, None).await), EvaluationErrorCode::TypeMismatch);
    assert_eq!(code(client.get_bool_value("share", None, None).await), EvaluationErrorCode::TargetingKeyMissing);
    assert!(matches!(code(client.get_bool_value("broken", None, None).await), EvaluationErrorCode::General(_)));
    // what was not used is not counted
    client.get_bool_value("plain", None, None).await.unwrap();
    let counts = crate::eventually(|| Some(host.plane.usage.take()).filter(|counts| !counts.is_empty())).await;
    assert_eq!(counts.into_iter().map(|(counted, count)| (counted.feature.to_string(), count)).collect::<Vec<_>>(), [("plain".to_owned(), 1)]);
}

#[tokio::test]
async fn the_status_says_whether_answers_may_be_old() {
    let mut host = Host::start();
    let greenroom = connect(options(&host)).await;
    at(&greenroom, 41).await;
    let provider = Provider::new(greenroom.clone());
    assert_eq!((provider.metadata().name.as_str(), provider.status()), ("greenroom", ProviderStatus::Ready));
    host.stop();
    crate::until(&greenroom, |state| !state.contact.is_live()).await;
    assert_eq!(provider.status(), ProviderStatus::STALE);

    let early = connect(options(&host).pace(greenroom_sdk::follow::Pace { patience: std::time::Duration::from_millis(1), ..crate::quick() })).await;
    let provider = Provider::new(early.clone());
    assert_eq!(provider.status(), ProviderStatus::NotReady);
    let refused = provider.resolve_bool_value("plain", &EvaluationContext::default()).await.unwrap_err();
    assert_eq!(refused.code, EvaluationErrorCode::ProviderNotReady);
    let host = host.restart(41);
    at(&early, 41).await;
    assert_eq!(provider.status(), ProviderStatus::Ready);
    drop(host);
}
