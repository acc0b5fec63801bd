//! What a transactional producer is told when it repeats a request on the next leader: its answer was lost with the old
//! one, or the request never came to be. The answers are those of Apache Kafka 4.1.1, asked the same over a socket.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiKey, EndTxnRequest,
    InitProducerIdRequest, TxnOffsetCommitRequest,
};

use super::puppet::{Puppet, TOPIC};
use super::requests::{GROUP, code_of, text};
use crate::wire::{RequestBody, ResponseBody};

const WRITER: &str = "writer";

/// A producer as it presents itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct As {
    producer: i64,
    epoch: i16,
}

/// What it asks for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    AddPartitions,
    AddOffsets,
    CommitOffsets,
    Commit,
    Abort,
}

use Ask::{Abort, AddOffsets, AddPartitions, Commit, CommitOffsets};

impl Ask {
    fn request(self, by: As) -> (ApiKey, RequestBody) {
        let As { producer, epoch } = by;
        match self {
            AddPartitions => {
                let topic = AddPartitionsToTxnTopic::default()
                    .with_name(text(TOPIC).into())
                    .with_partitions(vec![0]);
                let request = AddPartitionsToTxnRequest::default()
                    .with_v3_and_below_transactional_id(text(WRITER).into())
                    .with_v3_and_below_producer_id(producer.into())
                    .with_v3_and_below_producer_epoch(epoch)
                    .with_v3_and_below_topics(vec![topic]);
                (
                    ApiKey::AddPartitionsToTxn,
                    RequestBody::AddPartitionsToTxn(request),
                )
            }
            AddOffsets => {
                let request = AddOffsetsToTxnRequest::default()
                    .with_transactional_id(text(WRITER).into())
                    .with_producer_id(producer.into())
                    .with_producer_epoch(epoch)
                    .with_group_id(text(GROUP).into());
                (
                    ApiKey::AddOffsetsToTxn,
                    RequestBody::AddOffsetsToTxn(request),
                )
            }
            CommitOffsets => {
                let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(3);
                let topic = TxnOffsetCommitRequestTopic::default()
                    .with_name(text(TOPIC).into())
                    .with_partitions(vec![partition]);
                let request = TxnOffsetCommitRequest::default()
                    .with_transactional_id(text(WRITER).into())
                    .with_producer_id(producer.into())
                    .with_producer_epoch(epoch)
                    .with_group_id(text(GROUP).into())
                    .with_generation_id(-1)
                    .with_topics(vec![topic]);
                (
                    ApiKey::TxnOffsetCommit,
                    RequestBody::TxnOffsetCommit(request),
                )
            }
            Commit | Abort => {
                let request = EndTxnRequest::default()
                    .with_transactional_id(text(WRITER).into())
                    .with_producer_id(producer.into())
                    .with_producer_epoch(epoch)
                    .with_committed(matches!(self, Commit));
                (ApiKey::EndTxn, RequestBody::EndTxn(request))
            }
        }
    }
}

async fn ask(puppet: &Puppet, version: i16, asked: Ask, by: As) -> Option<ResponseError> {
    let (key, body) = asked.request(by);
    ResponseError::try_from_code(code_of(&puppet.ask(key, version, body).await))
}

/// A producer begins, or presents itself as the one that it was.
async fn init(puppet: &Puppet, was: Option<As>) -> Result<As, Option<ResponseError>> {
    let As { producer, epoch } = was.unwrap_or(As {
        producer: -1,
        epoch: -1,
    });
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(text(WRITER).into()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(producer.into())
        .with_producer_epoch(epoch);
    let body = RequestBody::InitProducerId(request);
    let ResponseBody::InitProducerId(answer) = puppet.ask(ApiKey::InitProducerId, 4, body).await
    else {
        panic!("InitProducerId")
    };
    match answer.error_code {
        0 => Ok(As {
            producer: answer.producer_id.0,
            epoch: answer.producer_epoch,
        }),
        code => Err(ResponseError::try_from_code(code)),
    }
}

/// Carries out `before` on one leader; on the next the last of them is asked for again, or for the first time.
async fn on_the_next_leader(before: &[Ask], version: i16, then: Ask) -> Option<ResponseError> {
    let puppet = Puppet::leader().await;
    let writer = init(&puppet, None).await.expect("a producer");
    for asked in before {
        assert_eq!(ask(&puppet, 2, *asked, writer).await, None, "{asked:?}");
    }
    puppet.follows();
    puppet.leads(7);
    ask(&puppet, version, then, writer).await
}

#[tokio::test]
async fn what_is_repeated_on_the_next_leader_is_answered_as_by_kafka_whether_it_was_done_or_not() {
    let (fine, invalid) = (None, Some(ResponseError::InvalidTxnState));
    let abortable = Some(ResponseError::TransactionAbortable);
    let open = [AddPartitions, AddOffsets];
    let written = [AddPartitions, AddOffsets, CommitOffsets];
    let committed = [AddPartitions, AddOffsets, CommitOffsets, Commit];
    let aborted = [AddPartitions, Abort];
    for (before, version, then, expected) in [
        // Its answer was lost.
        (&open[..1], 3, AddPartitions, fine),
        (&open, 3, AddOffsets, fine),
        (&written, 3, CommitOffsets, fine),
        (&committed, 3, Commit, fine),
        (&aborted, 3, Abort, fine),
        // The old leader never carried it out.
        (&[], 3, AddPartitions, fine),
        (&open[..1], 3, AddOffsets, fine),
        (&open, 3, CommitOffsets, fine),
        (&written, 3, Commit, fine),
        (&open[..1], 3, Abort, fine),
        // What no longer fits, or not yet.
        (&committed, 3, Abort, invalid),
        (&aborted, 3, Commit, invalid),
        (&[], 3, Commit, invalid),
        (&[], 3, Abort, invalid),
        (&committed, 3, CommitOffsets, invalid),
        (&committed, 4, CommitOffsets, abortable),
        (&committed, 3, AddPartitions, fine),
        (&committed, 3, AddOffsets, fine),
    ] {
        let said = on_the_next_leader(before, version, then).await;
        assert_eq!(
            said, expected,
            "after {before:?}: {then:?} in version {version}"
        );
    }
}

#[tokio::test]
async fn a_producer_of_another_epoch_is_refused_in_the_words_of_each_version() {
    let puppet = Puppet::leader().await;
    let elder = init(&puppet, None).await.expect("a producer");
    let younger = init(&puppet, None).await.expect("its successor");
    assert_eq!(younger.epoch, elder.epoch + 1);
    for asked in [AddPartitions, AddOffsets] {
        assert_eq!(ask(&puppet, 3, asked, younger).await, None);
    }
    puppet.follows();
    puppet.leads(7);
    let to_come = As {
        epoch: younger.epoch + 1,
        ..younger
    };
    let epoch = Some(ResponseError::InvalidProducerEpoch);
    for by in [elder, to_come] {
        for version in 0..=4 {
            let fenced = if version < 2 {
                epoch
            } else {
                Some(ResponseError::ProducerFenced)
            };
            for asked in [AddPartitions, AddOffsets, Commit, Abort] {
                let version = if matches!(asked, AddPartitions) {
                    version.min(3)
                } else {
                    version
                };
                let said = ask(&puppet, version, asked, by).await;
                assert_eq!(said, fenced, "{asked:?} in version {version}");
            }
            let said = ask(&puppet, version, CommitOffsets, by).await;
            assert_eq!(said, epoch, "offsets in version {version}");
        }
    }
    let another = As {
        producer: younger.producer + 77,
        ..younger
    };
    for asked in [AddPartitions, AddOffsets, CommitOffsets, Commit] {
        let said = ask(&puppet, 3, asked, another).await;
        assert_eq!(
            said,
            Some(ResponseError::InvalidProducerIdMapping),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn a_producer_that_asks_again_for_its_next_epoch_gets_the_same_and_its_elder_is_fenced() {
    let puppet = Puppet::leader().await;
    let first = init(&puppet, None).await.expect("a producer");
    let renewed = init(&puppet, Some(first)).await.expect("renewed");
    puppet.follows();
    puppet.leads(7);

    assert_eq!(
        init(&puppet, Some(first)).await,
        Ok(renewed),
        "the answer was lost"
    );
    let again = init(&puppet, Some(renewed)).await.expect("renewed again");
    assert_eq!(again.epoch, renewed.epoch + 1);
    let fenced = Err(Some(ResponseError::ProducerFenced));
    assert_eq!(init(&puppet, Some(first)).await, fenced);
    let unknown = As {
        producer: first.producer + 77,
        epoch: 0,
    };
    assert_eq!(init(&puppet, Some(unknown)).await, fenced);
}
