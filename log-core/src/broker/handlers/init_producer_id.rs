//! InitProducerId: a producer asks for the id it writes under (KIP-98, KIP-360). Any node may be asked; the leader gives it
//! out.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::proposal::{carry_out, wait_for_outcome};
use super::transactions::fenced_as_known;
use crate::broker::error_code::ErrorScope;
use crate::broker::service::Service;
use crate::ids::{ProducerEpoch, ProducerId, TransactionalId};
use crate::state::{Command, InitProducerId, Response};
use crate::wire::values;

/// The request has no deadline of its own; clients wait `request.timeout.ms`, 30 s by default.
const WAIT: Duration = Duration::from_secs(20);

pub(in crate::broker) async fn answer(
    service: &Service,
    version: i16,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    match producer_id(service, &request).await {
        Ok(response) => response,
        Err(code) => InitProducerIdResponse::default()
            .with_error_code(fenced_as_known(code, version, 4).code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    }
}

async fn producer_id(
    service: &Service,
    request: &InitProducerIdRequest,
) -> Result<InitProducerIdResponse, ResponseError> {
    let command = command(service, request)?;
    let outcome = carry_out(service, command);
    let settled = wait_for_outcome(WAIT, outcome, ErrorScope::Coordinator).await;
    let settled = settled.map_err(|failed| as_known(request, failed.code));
    let Response::ProducerId { id, epoch } = settled? else {
        return Err(ResponseError::UnknownServerError);
    };
    Ok(InitProducerIdResponse::default()
        .with_producer_id(values::wire_producer_id(Some(id)).into())
        .with_producer_epoch(values::wire_producer_epoch(Some(epoch))))
}

/// A producer without a transactional id has no coordinator that it could look for: it can only come back.
fn as_known(request: &InitProducerIdRequest, code: ResponseError) -> ResponseError {
    match code {
        ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable
            if request.transactional_id.is_none() =>
        {
            ResponseError::CoordinatorLoadInProgress
        }
        code => code,
    }
}

fn command(service: &Service, request: &InitProducerIdRequest) -> Result<Command, ResponseError> {
    // Without a transactional id an id that the producer already has means nothing: as Kafka, give a new one.
    let Some(id) = &request.transactional_id else {
        return Ok(Command::AllocateProducerId);
    };
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let timeout_ms = u32::try_from(request.transaction_timeout_ms).unwrap_or(0);
    if timeout_ms == 0
        || service.config().transaction_max_timeout < Duration::from_millis(timeout_ms.into())
    {
        return Err(ResponseError::InvalidTransactionTimeout);
    }
    let id = TransactionalId::new(id.as_str());
    Ok(Command::InitProducerId(InitProducerId {
        id,
        timeout_ms,
        expected: expected(request)?,
    }))
}

/// Who the producer was until now: both numbers or neither.
fn expected(
    request: &InitProducerIdRequest,
) -> Result<Option<(ProducerId, ProducerEpoch)>, ResponseError> {
    let id = values::producer_id(request.producer_id.0);
    let epoch = values::producer_epoch(request.producer_epoch);
    if id.is_some() != epoch.is_some() {
        return Err(ResponseError::InvalidRequest);
    }
    Ok(id.zip(epoch))
}
