//! ApiVersions: what we serve (KIP-35, KIP-511, KIP-584).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::features::FEATURE;
use crate::broker::service::Service;
use crate::state::{FeatureLevel, State};
use crate::wire::SERVED;

pub(in crate::broker) fn answer(
    service: &Service,
    version: i16,
    request: &ApiVersionsRequest,
) -> ApiVersionsResponse {
    if 3 <= version && !is_named(request) {
        return ApiVersionsResponse::default()
            .with_error_code(ResponseError::InvalidRequest.code());
    }
    let response = ApiVersionsResponse::default().with_api_keys(ranges());
    with_features(response, &service.replica().state())
}

/// The one feature of ours. `transaction.version` is not advertised, so clients stay with the transactions of before
/// KIP-890.
fn with_features(response: ApiVersionsResponse, state: &State) -> ApiVersionsResponse {
    let supported = SupportedFeatureKey::default()
        .with_name(StrBytes::from_static_str(FEATURE))
        .with_min_version(wire_level(FeatureLevel::FIRST))
        .with_max_version(wire_level(FeatureLevel::LATEST));
    let finalized = FinalizedFeatureKey::default()
        .with_name(StrBytes::from_static_str(FEATURE))
        .with_min_version_level(wire_level(FeatureLevel::FIRST))
        .with_max_version_level(wire_level(state.feature_level()));
    response
        .with_supported_features(vec![supported])
        .with_finalized_features(vec![finalized])
        .with_finalized_features_epoch(i64::try_from(state.applied().0).unwrap_or(i64::MAX))
}

fn wire_level(level: FeatureLevel) -> i16 {
    i16::try_from(level.0).unwrap_or(i16::MAX)
}

/// To a client newer than we are: our ranges, in a version that everybody reads.
pub(in crate::broker) fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(ranges())
}

fn ranges() -> Vec<ApiVersion> {
    let range = |api: &crate::wire::ServedApi| {
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(api.advertised.first)
            .with_max_version(api.advertised.last)
    };
    SERVED.iter().map(range).collect()
}

fn is_named(request: &ApiVersionsRequest) -> bool {
    is_software_name(&request.client_software_name)
        && is_software_name(&request.client_software_version)
}

/// Kafka's pattern for a client's software name and version: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    outer(bytes.first()) && outer(bytes.last()) && bytes.iter().copied().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_must_name_itself_as_kafka_wants_it() {
        let named = |name, version| {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(StrBytes::from_static_str(name))
                .with_client_software_version(StrBytes::from_static_str(version));
            is_named(&request)
        };
        assert!(named("librdkafka", "2.12.1"));
        assert!(named("apache-kafka-java", "4.1.0-rc1"));
        for (name, version) in [("", "1"), ("-x", "1"), ("x", "1."), ("a b", "1"), ("x", "")] {
            assert!(!named(name, version), "{name:?} {version:?}");
        }
    }

    #[test]
    fn the_feature_level_that_is_in_force_is_told_with_what_this_software_has() {
        let state = State::default();
        let told = with_features(ApiVersionsResponse::default(), &state);
        let (has, uses) = (&told.supported_features[0], &told.finalized_features[0]);
        assert_eq!((has.name.as_str(), uses.name.as_str()), (FEATURE, FEATURE));
        assert_eq!(has.max_version, wire_level(FeatureLevel::LATEST));
        assert_eq!(uses.max_version_level, wire_level(state.feature_level()));
        assert_eq!(told.finalized_features_epoch, 0);
    }
}
