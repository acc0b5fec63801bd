//! UpdateFeatures: the operator allows what all nodes' software can do (KIP-584, rule 17), and says in a tagged
//! field of ours what jumps of the clock were (decision 0018).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use tracing::info;

use super::proposal::{ErrorResponse, deadline, propose_and_wait, to_wire};
use crate::broker::error_code::{ErrorScope, not_leading};
use crate::broker::service::Service;
use crate::ids::TimestampMs;
use crate::state::{Command, FeatureLevel, JudgeClockJumps, JumpVerdict, RaiseFeatureLevel};
use crate::wire::extension::{ClockVerdict, clock_verdict};

/// The one feature there is, named as Kafka names its own (`metadata.version`, `transaction.version`).
pub(super) const FEATURE: &str = "mayday.version";

/// Only upgrades: a level that was used may be needed to read what was written since.
const UPGRADE: i8 = 1;

pub(in crate::broker) async fn update(
    service: &Service,
    version: i16,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    let response = UpdateFeaturesResponse::default().with_error_message(None);
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Controller) {
        return response.with_error_code(code.code());
    }
    if let Some(word) = clock_verdict(&request.unknown_tagged_fields) {
        let (code, message) = to_wire(judge(service, word, &request).await);
        return response.with_error_code(code).with_error_message(message);
    }
    let mut results = Vec::with_capacity(request.feature_updates.len());
    for asked in &request.feature_updates {
        let raised = raise(service, version, asked, &request).await;
        // From version 2 on an update has no answer of its own: it is all or nothing.
        if 2 <= version && raised.is_err() {
            let (code, message) = to_wire(raised);
            return response.with_error_code(code).with_error_message(message);
        }
        results.push(result(asked, raised));
    }
    if 2 <= version {
        return response;
    }
    response.with_results(results)
}

async fn judge(
    service: &Service,
    word: Result<ClockVerdict, ()>,
    request: &UpdateFeaturesRequest,
) -> Result<(), ErrorResponse> {
    let invalid = |message: &str| ErrorResponse::of(ResponseError::InvalidRequest, message);
    let ClockVerdict {
        until_ms,
        time_passed,
    } = word.map_err(|()| invalid("a word on the clock that makes no sense"))?;
    if !request.feature_updates.is_empty() {
        return Err(invalid("one request raises a level or judges the clock"));
    }
    if !service.replica().state().notes_jumps() {
        return Err(invalid(
            "jumps of the clock are noted from level 2 on: raise the level first",
        ));
    }
    if request.validate_only {
        return Ok(());
    }
    let verdict = match time_passed {
        true => JumpVerdict::TimePassed,
        false => JumpVerdict::ClockWasWrong,
    };
    let judge = JudgeClockJumps {
        until: TimestampMs(until_ms),
        verdict,
    };
    let wait = deadline(request.timeout_ms);
    let judged = propose_and_wait(
        service,
        Command::JudgeClockJumps(judge),
        ErrorScope::Controller,
        wait,
    );
    judged.await?;
    info!(?verdict, "an operator has judged the jumps of the clock");
    Ok(())
}

fn result(asked: &FeatureUpdateKey, raised: Result<(), ErrorResponse>) -> UpdatableFeatureResult {
    let (code, message) = to_wire(raised);
    UpdatableFeatureResult::default()
        .with_feature(asked.feature.clone())
        .with_error_code(code)
        .with_error_message(message)
}

async fn raise(
    service: &Service,
    version: i16,
    asked: &FeatureUpdateKey,
    request: &UpdateFeaturesRequest,
) -> Result<(), ErrorResponse> {
    let raise = RaiseFeatureLevel {
        level: level(version, asked)?,
    };
    all_are_registered(service)?;
    if request.validate_only {
        let state = service.replica().state();
        return state
            .check_raise_feature_level(&raise)
            .map_err(|refusal| ErrorResponse::from(&refusal));
    }
    let wait = deadline(request.timeout_ms);
    let command = Command::RaiseFeatureLevel(raise);
    propose_and_wait(service, command, ErrorScope::Controller, wait)
        .await
        .map(|_| ())
}

/// A level that this node's own software does not have is never proposed: applying it would stop the node.
fn level(version: i16, asked: &FeatureUpdateKey) -> Result<FeatureLevel, ErrorResponse> {
    let refused = |message: String| {
        Err(ErrorResponse::of(
            ResponseError::InvalidUpdateVersion,
            message,
        ))
    };
    if asked.feature.as_str() != FEATURE {
        return refused(format!(
            "{}: the one feature is {FEATURE}",
            asked.feature.as_str()
        ));
    }
    let downgrades = match version {
        0 => asked.allow_downgrade,
        _ => asked.upgrade_type != UPGRADE,
    };
    if downgrades {
        return refused("a feature level only rises".to_owned());
    }
    match u16::try_from(asked.max_version_level).map(FeatureLevel) {
        Ok(level) if (FeatureLevel::FIRST..=FeatureLevel::LATEST).contains(&level) => Ok(level),
        _ => refused(format!(
            "level {}: this node's software has {} to {}",
            asked.max_version_level,
            FeatureLevel::FIRST,
            FeatureLevel::LATEST
        )),
    }
}

/// The state machine asks every registered node; one that has never registered has not said what it can do.
fn all_are_registered(service: &Service) -> Result<(), ErrorResponse> {
    let membership = service.replica().membership();
    let state = service.replica().state();
    let members = membership.voters.iter().chain(&membership.learners);
    let unknown = members.filter(|member| state.node_of(**member).is_none());
    match unknown.count() {
        0 => Ok(()),
        count => {
            let message = format!("{count} members have not said yet what their software can do");
            Err(ErrorResponse::of(
                ResponseError::FeatureUpdateFailed,
                message,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    fn asked(feature: &'static str, level: i16) -> FeatureUpdateKey {
        FeatureUpdateKey::default()
            .with_feature(StrBytes::from_static_str(feature))
            .with_max_version_level(level)
            .with_upgrade_type(UPGRADE)
    }

    #[test]
    fn a_level_only_rises_and_only_to_what_this_software_has() {
        let latest = i16::try_from(FeatureLevel::LATEST.0).expect("small");
        assert_eq!(level(1, &asked(FEATURE, latest)), Ok(FeatureLevel::LATEST));
        let wrong = [
            (1, asked(FEATURE, latest + 1)),
            (1, asked(FEATURE, 0)),
            (1, asked(FEATURE, -1)),
            (1, asked("metadata.version", latest)),
            (1, asked(FEATURE, latest).with_upgrade_type(2)),
            (0, asked(FEATURE, latest).with_allow_downgrade(true)),
        ];
        for (version, asked) in wrong {
            let refused = level(version, &asked).expect_err("refused");
            assert_eq!(
                refused.code,
                ResponseError::InvalidUpdateVersion,
                "{asked:?}"
            );
        }
    }
}
