//! A client through the codec's client side: one request at a time, in any version.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, FetchRequest, InitProducerIdRequest, ListOffsetsRequest,
    ProduceRequest, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use log_core::testing::wire::codec_version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct WireClient {
    stream: TcpStream,
    correlation_id: i32,
}

impl WireClient {
    pub async fn connect(address: &str) -> Self {
        Self {
            stream: TcpStream::connect(address).await.expect("connects"),
            correlation_id: 100,
        }
    }

    /// Asks and waits for the answer, which must be decodable to its last byte.
    pub async fn ask<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        self.send(version, &request).await;
        self.answer::<R>(version).await
    }

    /// Sends without waiting.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let frame = frame(R::KEY, version, self.correlation_id, request);
        self.stream.write_all(&frame).await.expect("sent");
    }

    /// The next answer.
    pub async fn answer<R: Request>(&mut self, version: i16) -> R::Response {
        let mut body = self.frame().await.expect("an answer");
        ResponseHeader::decode(
            &mut body,
            <R::Response as HeaderVersion>::header_version(version),
        )
        .expect("header");
        let response = R::Response::decode(&mut body, codec_version(known_key(R::KEY), version))
            .unwrap_or_else(|error| panic!("api {} version {version}: {error}", R::KEY));
        assert!(
            body.is_empty(),
            "api {} version {version}: {} bytes too many",
            R::KEY,
            body.len()
        );
        response
    }

    /// The next frame without its length; `None` when the broker has closed.
    pub async fn frame(&mut self) -> Option<Bytes> {
        let length = self.stream.read_u32().await.ok()?;
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame.into())
    }

    /// Sends bytes as they are; the broker may close meanwhile.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        let _closed_is_fine = self.stream.write_all(bytes).await.is_ok();
    }

    /// Says that nothing more will be sent.
    pub async fn finish_sending(&mut self) {
        let _closed_is_fine = self.stream.shutdown().await.is_ok();
    }

    /// Waits until the broker closes, dropping what it still says.
    pub async fn wait_for_close(&mut self) {
        let mut sink = [0; 4096];
        while let Ok(1..) = self.stream.read(&mut sink).await {}
    }
}

/// A request as it goes over the wire.
pub fn frame<R: Encodable>(key: i16, version: i16, correlation_id: i32, request: &R) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("wire-test")));
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header).expect("header");
    let name = known_key(key);
    request
        .encode(&mut body, codec_version(name, version))
        .unwrap_or_else(|error| panic!("{name:?} version {version}: {error}"));
    let mut frame = BytesMut::new();
    bytes::BufMut::put_u32(&mut frame, u32::try_from(body.remaining()).expect("small"));
    frame.extend_from_slice(&body);
    frame.freeze()
}

fn known_key(key: i16) -> ApiKey {
    ApiKey::try_from(key).expect("a known key")
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// What tests ask for over and over.
impl WireClient {
    /// The records from an offset of partition 0 on, as they are in the log.
    pub async fn fetch_from(&mut self, topic: &str, offset: i64) -> Bytes {
        let request = fetch_request(topic, offset);
        let response = self.ask(12, request).await;
        let read = &response.responses[0].partitions[0];
        assert_eq!(read.error_code, 0);
        read.records.clone().expect("records")
    }
}

/// A fetch of partition 0, to be changed before it is sent.
pub fn fetch_request(topic: &str, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20)
        .with_current_leader_epoch(-1);
    let topic = FetchTopic::default()
        .with_topic(text(topic).into())
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_bytes(1 << 20)
        .with_min_bytes(1)
        .with_max_wait_ms(10_000)
        .with_topics(vec![topic])
}

pub async fn create_topic(client: &mut WireClient, name: &str, partitions: i32) {
    create_topic_with(client, name, partitions, &[]).await;
}

pub async fn create_topic_with(
    client: &mut WireClient,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) {
    let config = |(name, value): &(&str, &str)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    };
    let topic = CreatableTopic::default()
        .with_name(text(name).into())
        .with_num_partitions(partitions)
        .with_replication_factor(-1)
        .with_configs(configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let response = client.ask(7, request).await;
    assert_eq!(
        response.topics[0].error_code, 0,
        "{:?}",
        response.topics[0].error_message
    );
}

pub fn produce_request(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(text(topic).into())
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic])
}

/// Produces to partition 0; the base offset or the error code.
pub async fn produce(client: &mut WireClient, topic: &str, records: Bytes) -> Result<i64, i16> {
    let response = client.ask(9, produce_request(topic, 0, -1, records)).await;
    let stored = &response.responses[0].partition_responses[0];
    if stored.error_code == 0 {
        Ok(stored.base_offset)
    } else {
        Err(stored.error_code)
    }
}

/// Where partition 0 ends.
pub async fn latest_offset(client: &mut WireClient, topic: &str) -> i64 {
    let partition = ListOffsetsPartition::default()
        .with_timestamp(-1)
        .with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(text(topic).into())
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic]);
    let response = client.ask(7, request).await;
    let found = &response.topics[0].partitions[0];
    assert_eq!(found.error_code, 0);
    found.offset
}

pub async fn new_producer_id(client: &mut WireClient) -> u64 {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let response = client.ask(4, request).await;
    assert_eq!(response.error_code, 0);
    u64::try_from(response.producer_id.0).expect("an id")
}
