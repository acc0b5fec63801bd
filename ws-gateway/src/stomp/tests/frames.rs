//! Points 9 to 18: frame syntax.

use super::*;
use crate::stomp::{MessageHead, encode, shared_rest};

#[test]
fn point_9_a_carriage_return_may_stand_before_every_line_feed() {
    for version in Version::ALL {
        let frame = one(version, b"SEND\r\ndestination:/a\r\n\r\nbody\0");
        assert_eq!(headers(&frame), [("destination", "/a")], "{version:?}");
        assert_eq!(frame.body, b"body");
    }
}

#[test]
fn point_9_a_carriage_return_alone_is_no_line_end() {
    assert_eq!(
        refused(Version::V1_2, b"SEND\ndesti\rnation:/a\n\n\0"),
        ParseError::BareCarriageReturn
    );

    let frame = one(Version::V1_1, b"SEND\ndestination:/a\rb\n\n\0");
    assert_eq!(headers(&frame), [("destination", "/a\rb")]);
}

#[test]
fn point_10_any_number_of_line_ends_may_stand_between_frames() {
    let (frames, error) = parse(
        Version::V1_2,
        b"\n\n\r\nBEGIN\ntransaction:a\n\n\0\n\r\n\n\nABORT\ntransaction:a\n\n\0\n",
    );
    assert_eq!(error, None);
    assert_eq!(
        frames.iter().map(|frame| frame.command).collect::<Vec<_>>(),
        [Command::Begin, Command::Abort]
    );
}

#[test]
fn point_10_a_stray_nul_between_frames_is_passed_over() {
    let (frames, error) = parse(
        Version::V1_2,
        b"\0BEGIN\ntransaction:a\n\n\0\0\n\0ABORT\ntransaction:a\n\n\0",
    );
    assert_eq!((frames.len(), error), (2, None));
}

#[test]
fn point_11_commands_are_case_sensitive() {
    assert_eq!(
        refused(Version::V1_2, b"subscribe\n\n\0"),
        ParseError::UnknownCommand
    );
    assert_eq!(
        refused(Version::V1_2, b"Connect\n\n\0"),
        ParseError::UnknownCommand
    );
}

#[test]
fn point_11_header_names_are_case_sensitive() {
    let frame = one(Version::V1_2, b"SEND\nDestination:/a\ndestination:/b\n\n\0");
    assert_eq!(frame.headers.get("destination"), Some("/b"));
}

#[test]
fn point_12_escapes_are_undone_in_names_and_values_as_the_version_says() {
    let bytes = b"SEND\na\\cb:x\\ny\\\\z\n\n\0";
    assert_eq!(headers(&one(Version::V1_2, bytes)), [("a:b", "x\ny\\z")]);
    assert_eq!(headers(&one(Version::V1_1, bytes)), [("a:b", "x\ny\\z")]);
    assert_eq!(
        headers(&one(Version::V1_0, bytes)),
        [("a\\cb", "x\\ny\\\\z")]
    );
}

#[test]
fn point_12_backslash_r_is_a_carriage_return_in_1_2_and_fatal_in_1_1() {
    assert_eq!(
        headers(&one(Version::V1_2, b"SEND\na:x\\ry\n\n\0")),
        [("a", "x\ry")]
    );
    assert_eq!(
        refused(Version::V1_1, b"SEND\na:x\\ry\n\n\0"),
        ParseError::UndefinedEscape
    );
}

#[test]
fn point_12_an_undefined_escape_is_fatal() {
    for bytes in [
        &b"SEND\na:\\t\n\n\0"[..],
        b"SEND\na:x\\\n\n\0",
        b"SEND\n\\x:a\n\n\0",
    ] {
        assert_eq!(refused(Version::V1_2, bytes), ParseError::UndefinedEscape);
        assert_eq!(refused(Version::V1_1, bytes), ParseError::UndefinedEscape);
    }
}

#[test]
fn point_12_connect_and_connected_are_never_escaped() {
    for version in Version::ALL {
        for command in ["CONNECT", "STOMP"] {
            let frame = one(
                version,
                format!("{command}\npasscode:a\\nb\\q\n\n\0").as_bytes(),
            );
            assert_eq!(headers(&frame), [("passcode", "a\\nb\\q")]);
        }
        let connected = encode(
            &Frame::new(Command::Connected).with("server", "a:b\\c"),
            version,
        );
        assert_eq!(connected, b"CONNECTED\nserver:a:b\\c\n\n\0");
    }
}

#[test]
fn point_13_the_first_of_repeated_headers_wins() {
    let frame = one(Version::V1_2, b"SEND\nfoo:first\nfoo:second\n\n\0");
    assert_eq!(frame.headers.get("foo"), Some("first"));
}

#[test]
fn point_14_spaces_are_kept_in_1_1_and_1_2() {
    for version in [Version::V1_1, Version::V1_2] {
        assert_eq!(
            headers(&one(version, b"SEND\n a : b \n\n\0")),
            [(" a ", " b ")]
        );
    }
}

#[test]
fn point_14_one_space_before_the_value_is_dropped_in_1_0() {
    assert_eq!(
        headers(&one(Version::V1_0, b"SEND\na:  b \n\n\0")),
        [("a", " b ")]
    );
}

#[test]
fn point_15_content_length_counts_octets_and_the_body_may_hold_anything() {
    let frame = one(
        Version::V1_2,
        "SEND\ncontent-length:7\n\n\u{1F525}a\0b\0".as_bytes(),
    );
    assert_eq!(frame.body, "\u{1F525}a\0b".as_bytes());
}

#[test]
fn point_15_without_content_length_the_body_ends_at_the_first_nul() {
    let (frames, error) = parse(
        Version::V1_2,
        b"SEND\ndestination:/a\n\none\0SEND\ndestination:/a\n\ntwo\0",
    );
    assert_eq!(error, None);
    assert_eq!(
        frames
            .iter()
            .map(|frame| &frame.body[..])
            .collect::<Vec<_>>(),
        [b"one", b"two"]
    );
}

#[test]
fn point_15_a_body_longer_than_its_content_length_is_refused() {
    assert_eq!(
        refused(Version::V1_2, b"SEND\ncontent-length:3\n\nabcd\0"),
        ParseError::BodyNotTerminated
    );
}

#[test]
fn point_15_a_content_length_that_is_no_number_of_octets_is_refused() {
    for value in [
        "-1",
        "+1",
        "",
        " 1",
        "1x",
        "0x1",
        "99999999999999999999999999",
    ] {
        let bytes = format!("SEND\ncontent-length:{value}\n\na\0");
        assert_eq!(
            refused(Version::V1_2, bytes.as_bytes()),
            ParseError::BadContentLength,
            "{value:?}"
        );
    }
}

#[test]
fn point_15_of_two_content_lengths_the_first_counts() {
    let frame = one(
        Version::V1_2,
        b"SEND\ncontent-length:3\ncontent-length:9\n\na\0b\0",
    );
    assert_eq!(frame.body, b"a\0b");
}

#[test]
fn point_16_only_send_message_and_error_have_bodies() {
    for command in [
        "CONNECT",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "ACK",
        "NACK",
        "BEGIN",
        "COMMIT",
        "ABORT",
        "DISCONNECT",
    ] {
        let bytes = format!("{command}\nid:1\n\nbody\0");
        let expected = ParseError::BodyNotAllowed(Command::from_bytes(command.as_bytes()).unwrap());
        assert_eq!(refused(Version::V1_2, bytes.as_bytes()), expected);
        assert_eq!(refused(Version::V1_1, bytes.as_bytes()), expected);
    }
    for command in ["SEND", "MESSAGE", "ERROR"] {
        assert_eq!(
            one(Version::V1_2, format!("{command}\n\nbody\0").as_bytes()).body,
            b"body"
        );
    }
}

#[test]
fn point_16_the_body_of_a_1_0_subscribe_is_ignored() {
    let frame = one(Version::V1_0, b"SUBSCRIBE\ndestination:/a\n\nbody\0");
    assert!(frame.body.is_empty());
}

#[test]
fn point_17_what_is_beyond_a_limit_is_refused_before_it_is_kept() {
    let limits = Limits {
        headers_max: 2,
        line_bytes_max: 20,
        body_bytes_max: 5,
    };
    let refused = |bytes: &[u8]| parse_pieces(Version::V1_2, limits, &[bytes]).1;

    assert_eq!(
        refused(b"SEND\na:1\nb:2\nc:3\n"),
        Some(ParseError::TooManyHeaders(2))
    );
    assert_eq!(
        refused(b"SEND\na:0123456789012345678"),
        Some(ParseError::LineTooLong(20))
    );
    assert_eq!(refused(b"SEND\n\n012345"), Some(ParseError::BodyTooLong(5)));
    assert_eq!(
        refused(b"SEND\ncontent-length:6\n\n"),
        Some(ParseError::BodyTooLong(5))
    );
    assert_eq!(refused(b"SEND\na:012345678901234567\n\n01234\0"), None);
}

#[test]
fn point_18_a_header_without_a_colon_or_a_name_is_refused() {
    assert_eq!(
        refused(Version::V1_2, b"SEND\nfoo\n\n\0"),
        ParseError::NotAHeader
    );
    assert_eq!(
        refused(Version::V1_2, b"SEND\n:foo\n\n\0"),
        ParseError::NotAHeader
    );
}

#[test]
fn a_header_that_is_not_utf8_is_refused_and_a_nul_ends_no_head() {
    assert_eq!(
        refused(Version::V1_2, b"SEND\na:\xff\n\n\0"),
        ParseError::HeaderNotUtf8
    );
    assert_eq!(
        refused(Version::V1_2, b"SEND\na:b\0"),
        ParseError::HeadCutShort
    );
}

#[test]
fn point_35_a_message_is_the_subscriptions_head_and_a_rest_that_all_share() {
    let rest = shared_rest(&[("message-id", "an-alert-0-41"), ("type", "alert")], b"{}");
    for version in Version::ALL {
        for id in ["sub-0", "a:b\\c"] {
            let head = MessageHead::new(version, Some(id), "/sub/line/101");
            let frame = one(version, &[head.as_bytes(), &rest].concat());
            assert_eq!(frame.command, Command::Message);
            assert_eq!(frame.headers.get("subscription"), Some(id), "{version:?}");
            assert_eq!(frame.headers.get("message-id"), Some("an-alert-0-41"));
            assert_eq!(frame.body, b"{}");
        }
    }
}
