use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::header::{assemble, seal};
use super::*;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

const STAMP: ProducerStamp = ProducerStamp {
    id: ProducerId(7),
    epoch: ProducerEpoch(1),
    base_sequence: Some(Sequence(40)),
};

fn record(timestamp: i64, value: &str) -> NewRecord {
    let headers = vec![
        ("ce_id".to_owned(), Some("1".into())),
        ("empty".to_owned(), None),
    ];
    NewRecord {
        timestamp: TimestampMs(timestamp),
        key: Some("line".into()),
        value: Some(value.to_owned().into()),
        headers,
    }
}

fn batch_of(compression: Compression, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::compressed(compression);
    for (timestamp, value) in (1000..).zip(values) {
        builder.push(record(timestamp, value));
    }
    builder.build()
}

fn check(batch: &Bytes) -> Result<ValidBatch, InvalidBatch> {
    ValidBatch::check(batch, &BatchLimits::ANY_TIME)
}

fn records_of(batch: &Bytes) -> Vec<Record> {
    let header = BatchHeader::parse(batch).unwrap();
    Records::new(header, batch).map(Result::unwrap).collect()
}

/// A batch whose checksum holds, whatever was done to its header and records.
fn forged(change: impl FnOnce(&mut BatchHeader), records: &[u8]) -> Bytes {
    let mut header = BatchHeader::parse(&batch_of(Compression::None, &["a", "b", "c"])).unwrap();
    change(&mut header);
    let mut batch = assemble(&header, records);
    seal(&mut batch);
    batch.freeze()
}

fn three_records() -> Bytes {
    batch_of(Compression::None, &["a", "b", "c"]).slice(HEADER_BYTES..)
}

#[test]
fn what_was_packed_with_any_codec_is_read_back_record_by_record() {
    for codec in CODECS {
        let batch = batch_of(codec, &["help", "", "도와주세요"]);
        assert_eq!(check(&batch).unwrap().bytes(), &batch, "{codec:?}");

        let records = records_of(&batch);

        let values: Vec<_> = records
            .iter()
            .map(|record| record.value.clone().unwrap())
            .collect();
        assert_eq!(values, ["help", "", "도와주세요"], "{codec:?}");
        assert_eq!(records[2].offset, Offset(2));
        assert_eq!(records[2].timestamp, TimestampMs(1002));
        assert_eq!(
            records[0].headers[1],
            RecordHeader {
                name: "empty".to_owned(),
                value: None
            }
        );
    }
}

#[test]
fn a_batch_packed_anew_with_any_codec_holds_the_same_records_of_the_same_producer() {
    let mut builder = BatchBuilder::compressed(Compression::Gzip).producer(STAMP);
    builder.push(record(5, "one")).push(record(9, "two"));
    let sent = builder.build();
    for codec in CODECS {
        let kept = check(&sent)
            .unwrap()
            .recompressed(codec, CompressionLevels::default())
            .unwrap();

        assert_eq!(kept.header().attributes.compression, codec);
        assert_eq!(kept.header().producer, Some(STAMP));
        assert_eq!(records_of(kept.bytes()), records_of(&sent));
        assert_eq!(check(kept.bytes()).unwrap(), kept);
    }
}

#[test]
fn snappy_is_read_in_the_framing_of_java_clients_and_bare_as_librdkafka_sends_it() {
    let plain = three_records();
    let bare = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let block = u32::try_from(bare.len()).unwrap().to_be_bytes();
    let framed = [
        b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".as_slice(),
        &block,
        &bare,
    ]
    .concat();

    for packed in [bare, framed] {
        let batch = forged(
            |header| header.attributes.compression = Compression::Snappy,
            &packed,
        );
        assert!(check(&batch).is_ok());
        assert_eq!(records_of(&batch).len(), 3);
    }
}

#[test]
fn the_log_patches_offset_and_epoch_under_the_producers_own_checksum() {
    let sent = batch_of(Compression::Lz4, &["a", "b"]);
    let patch = BatchPatch {
        base_offset: Offset(41),
        leader_epoch: LeaderEpoch(7),
        log_append_time: None,
    };

    let kept = patch.apply(&sent);

    let header = BatchHeader::parse(&kept).unwrap();
    assert!(header.checksum_is_intact(&kept));
    assert_eq!(header.crc, BatchHeader::parse(&sent).unwrap().crc);
    assert_eq!(header.leader_epoch, Some(LeaderEpoch(7)));
    assert_eq!(
        (header.base_offset, header.next_offset()),
        (Offset(41), Offset(43))
    );
}

#[test]
fn log_append_time_becomes_the_timestamp_of_every_record_under_a_new_checksum() {
    let sent = batch_of(Compression::Zstd, &["a", "b"]);
    let at = TimestampMs(77_000);
    let patch = BatchPatch {
        base_offset: Offset(3),
        leader_epoch: LeaderEpoch(1),
        log_append_time: Some(at),
    };

    let kept = patch.apply(&sent);

    let header = BatchHeader::parse(&kept).unwrap();
    assert!(header.checksum_is_intact(&kept));
    assert_eq!(
        header.attributes.timestamp_type,
        TimestampType::LogAppendTime
    );
    assert_eq!(
        timestamps(&header, &kept).unwrap(),
        [(Offset(3), at), (Offset(4), at)]
    );
}

#[test]
fn every_flipped_byte_is_found_but_in_the_leader_epoch_which_the_log_writes_itself() {
    for codec in CODECS {
        let sent = batch_of(codec, &["help", "me"]);
        for at in (0..sent.len()).filter(|at| !(12..16).contains(at)) {
            let mut damaged = BytesMut::from(&sent[..]);
            damaged[at] ^= 0x41;
            assert!(check(&damaged.freeze()).is_err(), "{codec:?}: byte {at}");
        }
    }
}

#[test]
fn a_batch_cut_anywhere_or_followed_by_anything_is_refused() {
    let sent = batch_of(Compression::None, &["help"]);
    for end in 1..sent.len() {
        let refused = check(&sent.slice(..end));
        assert!(
            matches!(refused, Err(InvalidBatch::Length(_))),
            "cut at {end}"
        );
    }
    assert!(matches!(check(&Bytes::new()), Err(InvalidBatch::Missing)));
    let two = Bytes::from([&sent[..], &sent[..]].concat());
    assert!(matches!(check(&two), Err(InvalidBatch::Several { .. })));
}

#[test]
fn an_old_message_set_is_told_from_damage_by_its_magic() {
    let mut old = BytesMut::from(&batch_of(Compression::None, &["help"])[..]);
    old[16] = 1;
    assert!(matches!(
        check(&old.freeze()),
        Err(InvalidBatch::Magic { found: 1 })
    ));
}

#[test]
fn a_batch_larger_than_the_topic_takes_is_refused_before_it_is_unpacked() {
    let batch = batch_of(Compression::None, &["help"]);
    let limits = BatchLimits {
        batch_bytes_max: batch.len() - 1,
        ..BatchLimits::ANY_TIME
    };
    assert!(matches!(
        ValidBatch::check(&batch, &limits),
        Err(InvalidBatch::TooLarge { .. })
    ));
}

#[test]
fn a_batch_that_unpacks_without_end_is_refused_at_the_limit() {
    let limits = BatchLimits {
        unpacked_bytes_max: 1 << 20,
        ..BatchLimits::ANY_TIME
    };
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let bomb = batch_of(codec, &["0".repeat(32 << 20).as_str()]);
        assert!(
            bomb.len() < 256 << 10,
            "{codec:?} packs it to {} bytes",
            bomb.len()
        );

        let refused = ValidBatch::check(&bomb, &limits);

        assert!(
            matches!(refused, Err(InvalidBatch::UnpacksTooLarge { .. })),
            "{codec:?}: {refused:?}"
        );
    }
}

#[test]
fn a_snappy_block_that_claims_an_impossible_length_is_refused_before_memory_is_taken() {
    // A varint of 4 GiB less one, and a byte of nothing.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let batch = forged(
        |header| header.attributes.compression = Compression::Snappy,
        &claim,
    );
    assert!(matches!(check(&batch), Err(InvalidBatch::Undecodable(_))));
}

#[test]
fn counts_that_do_not_fit_together_are_refused() {
    let records = three_records();
    let count = forged(|header| header.record_count = 2, &records);
    assert!(matches!(
        check(&count),
        Err(InvalidBatch::Count {
            count: 2,
            offsets: 3
        })
    ));
    let none = forged(|header| header.record_count = 0, &records);
    assert!(matches!(check(&none), Err(InvalidBatch::Count { .. })));
    let fewer = |header: &mut BatchHeader| (header.record_count, header.last_offset_delta) = (2, 1);
    assert!(matches!(
        check(&forged(fewer, &records)),
        Err(InvalidBatch::Undecodable(_))
    ));
    let more = |header: &mut BatchHeader| (header.record_count, header.last_offset_delta) = (4, 3);
    assert!(matches!(
        check(&forged(more, &records)),
        Err(InvalidBatch::Undecodable(_))
    ));
}

#[test]
fn records_that_are_not_numbered_one_by_one_are_refused() {
    let one = batch_of(Compression::None, &["a"]).slice(HEADER_BYTES..);
    let thrice = [&one[..], &one[..], &one[..]].concat();

    let refused = check(&forged(|_| (), &thrice));

    assert!(matches!(
        refused,
        Err(InvalidBatch::OffsetDelta {
            expected: 1,
            found: 0
        })
    ));
}

#[test]
fn what_only_the_log_may_write_is_refused_from_a_producer() {
    let marker = ControlRecord::Commit.batch(
        ProducerId(7),
        ProducerEpoch(1),
        LeaderEpoch(3),
        TimestampMs(9),
    );
    assert!(matches!(check(&marker), Err(InvalidBatch::Control)));
    let later = forged(|header| header.base_offset = Offset(4), &three_records());
    assert!(matches!(
        check(&later),
        Err(InvalidBatch::BaseOffset { found: Offset(4) })
    ));
}

#[test]
fn a_producer_id_needs_a_sequence_and_a_transaction_a_producer_id() {
    let unsequenced = |header: &mut BatchHeader| {
        header.producer = Some(ProducerStamp {
            base_sequence: None,
            ..STAMP
        });
    };
    assert!(matches!(
        check(&forged(unsequenced, &three_records())),
        Err(InvalidBatch::Producer)
    ));
    let anonymous = |header: &mut BatchHeader| header.attributes.transactional = true;
    assert!(matches!(
        check(&forged(anonymous, &three_records())),
        Err(InvalidBatch::Producer)
    ));
}

#[test]
fn a_timestamp_outside_the_topics_bounds_is_refused_and_none_at_all_passes() {
    let limits = BatchLimits {
        timestamp_earliest: TimestampMs(1000),
        timestamp_latest: TimestampMs(1001),
        ..BatchLimits::ANY_TIME
    };
    let late = batch_of(Compression::None, &["a", "b", "c"]);
    let refused = ValidBatch::check(&late, &limits);
    assert!(matches!(
        refused,
        Err(InvalidBatch::Timestamp {
            position: 2,
            found: TimestampMs(1002),
            ..
        })
    ));

    let mut none = BatchBuilder::plain();
    none.push(record(-1, "a"));
    assert!(ValidBatch::check(&none.build(), &limits).is_ok());
}

#[test]
fn a_wrong_max_timestamp_is_put_right_because_the_time_index_relies_on_it() {
    let sent = forged(
        |header| header.max_timestamp = TimestampMs(5),
        &three_records(),
    );

    let valid = check(&sent).unwrap();

    assert_eq!(valid.header().max_timestamp, TimestampMs(1002));
    assert!(valid.header().checksum_is_intact(valid.bytes()));
}

#[test]
fn an_unknown_codec_is_named() {
    let mut batch = BytesMut::from(&batch_of(Compression::None, &["a"])[..]);
    batch[22] |= 6;
    seal(&mut batch);
    assert!(matches!(
        check(&batch.freeze()),
        Err(InvalidBatch::Codec { found: 6 })
    ));
}

#[test]
fn a_marker_has_the_bytes_of_kafkas_end_transaction_marker() {
    let marker = ControlRecord::Abort.batch(
        ProducerId(7),
        ProducerEpoch(1),
        LeaderEpoch(3),
        TimestampMs(9),
    );
    let header = BatchHeader::parse(&marker).unwrap();

    // Length 32 / 2, attributes, timestamp and offset delta, key of 4 bytes, value of 6, no headers.
    let body = [0x20, 0, 0, 0, 8, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 3, 0];
    assert_eq!(&marker[HEADER_BYTES..], body);
    assert_eq!(header.attributes.bits(), 0x30);
    assert_eq!(header.producer.map(|stamp| stamp.base_sequence), Some(None));
    assert_eq!(
        ControlRecord::read(header, &marker),
        Ok(ControlRecord::Abort)
    );
    let plain = batch_of(Compression::None, &["a"]);
    let header = BatchHeader::parse(&plain).unwrap();
    assert_eq!(
        ControlRecord::read(header, &plain),
        Err(UnknownControlRecord)
    );
}

fn any_record() -> impl Strategy<Value = NewRecord> {
    let bytes = || proptest::option::of(vec(any::<u8>(), 0..40).prop_map(Bytes::from));
    let headers = vec(("[a-z]{0,5}", bytes()), 0..3);
    (0_i64..1 << 50, bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| {
        NewRecord {
            timestamp: TimestampMs(timestamp),
            key,
            value,
            headers,
        }
    })
}

proptest! {
    #[test]
    fn any_records_with_any_codec_pass_and_are_read_back(records in vec(any_record(), 1..20), codec in 0_u8..5) {
        let mut builder = BatchBuilder::compressed(Compression::from_code(codec).unwrap()).producer(STAMP);
        for record in &records {
            builder.push(record.clone());
        }
        let batch = builder.build();

        let valid = check(&batch).unwrap();
        prop_assert_eq!(valid.bytes(), &batch);
        let read = records_of(&batch).into_iter().map(|record| NewRecord {
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), records);
    }

    #[test]
    fn no_bytes_make_the_check_panic(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(check(&bytes.into()).is_err());
    }

    #[test]
    fn no_records_under_a_good_checksum_make_the_check_or_the_reader_panic(
        records in vec(any::<u8>(), 0..200),
        codec in 0_u8..5,
        count in 1_u32..4,
        base_timestamp: i64,
    ) {
        let batch = forged(|header| {
            header.attributes.compression = Compression::from_code(codec).unwrap();
            (header.record_count, header.last_offset_delta) = (count, count - 1);
            header.base_timestamp = TimestampMs(base_timestamp);
        }, &records);
        let readable = Records::new(BatchHeader::parse(&batch).unwrap(), &batch).all(|record| record.is_ok());
        if check(&batch).is_ok() {
            prop_assert!(readable);
        }
    }

    #[test]
    fn damage_under_a_good_checksum_is_refused_or_still_reads_to_the_announced_count(
        at in 0_usize..1000,
        to: u8,
        codec in 0_u8..5,
    ) {
        let sent = batch_of(Compression::from_code(codec).unwrap(), &["help", "me", "please"]);
        let mut damaged = BytesMut::from(&sent[..]);
        let at = HEADER_BYTES + at % (sent.len() - HEADER_BYTES);
        damaged[at] = to;
        seal(&mut damaged);
        let damaged = damaged.freeze();
        if check(&damaged).is_ok() {
            prop_assert_eq!(records_of(&damaged).len(), 3);
        }
    }
}
