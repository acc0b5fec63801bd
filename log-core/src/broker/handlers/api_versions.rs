//! ApiVersions: what we serve (KIP-35, KIP-511, KIP-584).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::wire::SERVED;

pub(in crate::broker) fn answer(version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    let named = is_software_name(&request.client_software_name)
        && is_software_name(&request.client_software_version);
    if 3 <= version && !named {
        return ApiVersionsResponse::default()
            .with_error_code(ResponseError::InvalidRequest.code());
    }
    // No features: `transaction.version` is not advertised, so clients stay with the transactions of before KIP-890.
    ApiVersionsResponse::default().with_api_keys(ranges())
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

/// Kafka's pattern for a client's software name and version: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    outer(bytes.first()) && outer(bytes.last()) && bytes.iter().copied().all(inner)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    fn asked_by(name: &'static str, version: &'static str) -> ApiVersionsResponse {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(name))
            .with_client_software_version(StrBytes::from_static_str(version));
        answer(3, &request)
    }

    #[test]
    fn a_client_must_name_itself_as_kafka_wants_it() {
        assert_eq!(asked_by("librdkafka", "2.12.1").error_code, 0);
        assert_eq!(asked_by("apache-kafka-java", "4.1.0-rc1").error_code, 0);
        for (name, version) in [("", "1"), ("-x", "1"), ("x", "1."), ("a b", "1"), ("x", "")] {
            let refused = asked_by(name, version);
            assert_eq!(
                refused.error_code,
                ResponseError::InvalidRequest.code(),
                "{name:?} {version:?}"
            );
        }
    }

    #[test]
    fn a_client_of_before_names_is_answered() {
        assert_eq!(answer(2, &ApiVersionsRequest::default()).error_code, 0);
    }
}
