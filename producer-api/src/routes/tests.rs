use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    response::IntoResponse,
};
use event_model::{EventId, EventTime, SpringTypes, Warning};
use http_body_util::BodyExt;
use proptest::prelude::*;
use resident_token::{
    Policy, Verifier,
    testing::{claims_of, sign_with_secret, trusted_keys},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{ADDRESSES, docs::OPENAPI, headers::traceparent, routes};
use crate::{
    allowed_origins::origins,
    api_error::{ApiError, FieldError},
    clock,
    idempotency::InFlightCalls,
    intake::Intake,
    kafka::{LogProducer, LogSettings},
    limiter::Limiter,
    recent_calls::RecentCalls,
    state::AppState,
};

/// Without a log: refuses at once what gets that far.
fn state_without_log() -> Arc<AppState> {
    let log = LogSettings {
        bootstrap_servers: "127.0.0.1:9".to_owned(),
        nodes: log_client::LogNodes::default(),
        properties: Default::default(),
        delivery: Default::default(),
        message_timeout: Duration::from_secs(2),
        alerts_in_flight_max: 1,
        accepts_in_flight_max: 1,
    };
    let intake = Intake {
        log: Arc::new(LogProducer::connect(&log).unwrap()),
        outbox: None,
        recent: Arc::new(RecentCalls::new(10)),
        in_flight: InFlightCalls::default(),
        calls_by_house: Limiter::new(NonZeroU32::MAX, Duration::from_nanos(1), 10),
        appends: Default::default(),
        stop: Default::default(),
        deadline: Duration::from_millis(1),
        spring_types: SpringTypes::default(),
    };
    Arc::new(AppState {
        verifier: Arc::new(Verifier::open(trusted_keys(), Policy::default()).unwrap()),
        failed_auth_by_address: None,
        body_bytes_max: 16 * 1024,
        body_timeout: Duration::from_secs(5),
        intake: Arc::new(intake),
    })
}

fn router() -> Router {
    routes(state_without_log(), origins(&[]).unwrap())
}

async fn answer_to(router: Router, method: &str, path: &str, body: Vec<u8>) -> (StatusCode, Value) {
    let token = sign_with_secret(&claims_of("dong-101", "1502", clock::wall().to_timestamp()));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

#[tokio::test]
async fn the_description_has_every_address_and_nothing_else() {
    let description = description();
    let described: BTreeSet<(String, String)> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(move |method| (method.clone(), path.clone()))
        })
        .collect();
    let served: BTreeSet<_> = ADDRESSES
        .iter()
        .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(described, served);

    let router = router();
    for (method, path) in ADDRESSES {
        let (status, _) =
            answer_to(router.clone(), &method.to_uppercase(), path, b"{}".to_vec()).await;
        if !path.contains("{id}") {
            assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
        }
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
    }
}

/// One of each. A new one fails to compile in `api_error`; this list is what the description is held against.
fn every_api_error() -> Vec<ApiError> {
    use resident_token::TokenError;
    let wait = Duration::from_millis(1500);
    let id = EventId::new(EventTime::MIN, [0; 10]);
    vec![
        ApiError::Token(TokenError::Missing),
        ApiError::Token(TokenError::NotBearer),
        ApiError::Token(TokenError::Expired {
            expired_at: clock::wall().to_timestamp(),
        }),
        ApiError::Token(TokenError::InUrl),
        ApiError::RoleMissing,
        ApiError::LineMismatch,
        ApiError::HouseMismatch,
        ApiError::BodyTooLarge { bytes_max: 1 },
        ApiError::BodyTimeout,
        ApiError::InvalidJson {
            detail: String::new(),
        },
        ApiError::UnsupportedMediaType,
        ApiError::Validation(vec![FieldError {
            pointer: "/line",
            detail: "is missing".to_owned(),
        }]),
        ApiError::IdempotencyKeyReused,
        ApiError::HouseRateLimited { wait },
        ApiError::AddressRateLimited { wait },
        ApiError::LogUnavailable,
        ApiError::ProducerQueueFull,
        ApiError::LogRefused,
        ApiError::OutcomeUnknown { id },
        ApiError::NotFound,
        ApiError::MethodNotAllowed,
    ]
}

#[tokio::test]
async fn every_refusal_is_a_problem_whose_code_and_status_are_described() {
    let description = description();
    let codes = description["components"]["schemas"]["Problem"]["x-codes"]
        .as_object()
        .unwrap();
    let mut answered = BTreeSet::new();

    for error in every_api_error() {
        let text = error.to_string();
        let response = error.into_response();
        let status = response.status();
        let headers = response.headers().clone();
        let problem: Value =
            serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes())
                .unwrap();
        let code = problem["code"].as_str().unwrap();

        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(problem["status"], status.as_u16());
        assert_eq!(problem["detail"], text);
        assert_eq!(problem["type"], format!("/#{code}"));
        assert!(codes.contains_key(code), "{code}");
        assert_eq!(
            problem["retryable"] == true,
            headers.contains_key(header::RETRY_AFTER),
            "{code}"
        );
        assert_eq!(
            status == StatusCode::UNAUTHORIZED,
            headers.contains_key(header::WWW_AUTHENTICATE)
        );
        if let Some(seconds) = headers
            .get(header::RETRY_AFTER)
            .filter(|_| code == "rate_limited")
        {
            assert_eq!(seconds, "2", "1.5 s, rounded up");
        }
        assert_described(&description, status, code);
        answered.insert(code.to_owned());
    }
    assert_eq!(
        answered,
        codes.keys().cloned().collect(),
        "no code is described that is never answered"
    );
}

/// The answer that names `code` is listed for a post under `status`.
fn assert_described(description: &Value, status: StatusCode, code: &str) {
    if matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    ) {
        return;
    }
    let posts = ["/alert", "/accept"].map(|path| &description["paths"][path]["post"]["responses"]);
    let named = posts
        .iter()
        .filter_map(|responses| responses[status.as_str()]["$ref"].as_str())
        .any(|reference| {
            let name = reference.rsplit('/').next().unwrap();
            let words = description["components"]["responses"][name]["description"]
                .as_str()
                .unwrap();
            words.split(", ").any(|word| word == code)
        });
    assert!(named, "{status} {code}");
}

#[test]
fn every_warning_is_described_and_nothing_else() {
    let description = description();
    let described: BTreeSet<&str> = description["components"]["schemas"]["Warning"]["x-codes"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let told: BTreeSet<&str> = Warning::ALL
        .into_iter()
        .map(Warning::code)
        .chain(
            crate::response_warning::ResponseWarning::ALL
                .map(crate::response_warning::ResponseWarning::code),
        )
        .collect();

    assert_eq!(described, told);
}

#[test]
fn a_trace_context_is_passed_on_only_if_it_is_one() {
    let of = |value: &str| {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("traceparent", value.parse().unwrap());
        traceparent(&headers)
    };
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    assert_eq!(of(good).as_deref(), Some(good));
    for bad in [
        "",
        "00",
        &good[1..],
        &good.to_uppercase(),
        &format!("{good}-x"),
        &good.replace('4', "g"),
    ] {
        assert_eq!(of(bad), None, "{bad}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        prop::sample::select(vec![
            "dong-101", "1502", "1503", "Exercise", "37.5", "-181", "２"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,10}", inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

/// Objects with our own fields in them, each with anything.
fn any_call() -> impl Strategy<Value = Value> {
    let fields = vec![
        "line",
        "house",
        "text",
        "lat",
        "lng",
        "accuracy",
        "floor",
        "locatedAt",
        "status",
        "acceptHouse",
        "targetHouse",
        "alertId",
    ];
    prop::collection::btree_map(prop::sample::select(fields), any_json(), 0..12)
        .prop_map(|map| json!(map))
}

/// A body cut short, or with a byte changed.
fn broken(body: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = body.len();
    (0..=length, 0..length, any::<u8>()).prop_map(move |(end, at, byte)| {
        let mut broken = body.clone();
        broken[at] = byte;
        broken.truncate(end);
        broken
    })
}

/// What the addresses may say to a good token's body. 503 stands for "would have been stored": there is no log here.
const ALERT_ANSWERS: [u16; 2] = [403, 503];
const ACCEPT_ANSWERS: [u16; 5] = [400, 403, 413, 422, 503];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_json_gets_a_stated_answer(body in prop_oneof![any_json(), any_call()]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let router = router_of_the_tests();
            let (status, answer) = answer_to(router.clone(), "POST", "/alert", body.to_string().into_bytes()).await;
            prop_assert!(ALERT_ANSWERS.contains(&status.as_u16()), "{} {}", status, answer);
            let (status, answer) = answer_to(router, "POST", "/accept", body.to_string().into_bytes()).await;
            prop_assert!(ACCEPT_ANSWERS.contains(&status.as_u16()), "{} {}", status, answer);
            Ok(())
        })?;
    }

    #[test]
    fn no_bytes_of_a_verified_caller_are_refused_as_a_call_for_help(
        body in prop_oneof![
            9 => prop::collection::vec(any::<u8>(), 0..200),
            9 => any_call().prop_flat_map(|call| broken(call.to_string().into_bytes())),
            1 => (any::<u8>(), 0..=64 * 1024usize).prop_map(|(byte, length)| vec![byte; length]),
        ],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (status, answer) = answer_to(router_of_the_tests(), "POST", "/alert", body.clone()).await;
            // 403 only where another line or house is named in so many words.
            let named = ["line", "house"].iter().any(|name| body.windows(name.len()).any(|word| word == name.as_bytes()));
            prop_assert!(status.as_u16() == 503 || (status.as_u16() == 403 && named), "{} {}", status, answer);
            let (status, answer) = answer_to(router_of_the_tests(), "POST", "/accept", body).await;
            prop_assert!(ACCEPT_ANSWERS.contains(&status.as_u16()), "{} {}", status, answer);
            Ok(())
        })?;
    }
}

/// One service for all cases: each has threads of librdkafka's.
fn router_of_the_tests() -> Router {
    static ROUTER: std::sync::OnceLock<Router> = std::sync::OnceLock::new();
    ROUTER.get_or_init(router).clone()
}
