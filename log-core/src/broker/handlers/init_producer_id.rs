//! InitProducerId: a producer asks for the id it writes under (KIP-98, KIP-360).

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::proposal::{Failed, settle};
use crate::broker::error_code::{Asked, not_leading};
use crate::broker::service::Service;
use crate::state::{Command, Response};
use crate::wire::values;

/// The request has no deadline of its own; clients wait `request.timeout.ms`, 30 s by default.
const WAIT: Duration = Duration::from_secs(20);

pub(in crate::broker) async fn answer(
    service: &Service,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    match producer_id(service, &request).await {
        Ok(response) => response,
        Err(failed) => InitProducerIdResponse::default()
            .with_error_code(failed.code.code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    }
}

async fn producer_id(
    service: &Service,
    request: &InitProducerIdRequest,
) -> Result<InitProducerIdResponse, Failed> {
    if request.transactional_id.is_some() {
        return Err(ResponseError::TransactionalIdAuthorizationFailed.into());
    }
    if let Some(code) = not_leading(service.replica().leadership(), Asked::Coordinator) {
        return Err(code.into());
    }
    // Without a transactional id an id that the producer already has means nothing: as Kafka, give a new one.
    let Response::ProducerId { id, epoch } = settle(
        service,
        Command::AllocateProducerId,
        Asked::Coordinator,
        WAIT,
    )
    .await?
    else {
        return Err(ResponseError::UnknownServerError.into());
    };
    Ok(InitProducerIdResponse::default()
        .with_producer_id(values::wire_producer_id(Some(id)).into())
        .with_producer_epoch(values::wire_producer_epoch(Some(epoch))))
}
