//! Laws that hold for all bytes, and the opinion of a parser that we did not write.

use proptest::{collection::vec, prelude::*, sample::select};
use stomp_parser::{client::ClientFrame, server::ServerFrame};

use super::*;
use crate::stomp::{MessageHead, encode, shared_rest};

fn versions() -> impl Strategy<Value = Version> {
    select(Version::ALL.to_vec())
}

/// Bytes that are nearly frames: words of the protocol, thrown together.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let words = select(vec![
        &b"CONNECT\n"[..],
        b"SEND\n",
        b"SUBSCRIBE\r\n",
        b"MESSAGE\n",
        b"a:b\n",
        b"a\\cb:\\n\\\\\n",
        b"a:\\r\n",
        b"content-length:3\n",
        b"content-length:x\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b"abc",
        b"\0",
        b"\\",
        b":",
        b"\xec\x95\x8c",
        b"\xff",
    ]);
    vec(words, 0..24).prop_map(|words| words.concat())
}

fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for at in cuts {
        let (piece, after) = rest.split_at(at % (rest.len() + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Frames that the version can say: 1.0 has no escapes, so no separators in names and values, and none that begins
/// with a space; 1.1 has no escape for CR; before its value 1.0 loses a space.
fn frames(version: Version) -> impl Strategy<Value = Frame> {
    let text = match version {
        Version::V1_0 => "[a-z\\\\가-힣][a-z \\\\가-힣]{0,8}",
        Version::V1_1 => "[a-z:\\\\\n 가-힣]{1,9}",
        Version::V1_2 => "[a-z:\\\\\n\r 가-힣]{1,9}",
    };
    let with_body = select(vec![Command::Send, Command::Message, Command::Error]);
    (with_body, vec((text, text), 0..6), vec(any::<u8>(), 0..40)).prop_map(
        |(command, headers, body)| {
            let frame = Frame::new(command)
                .with("content-length", body.len().to_string())
                .with_body(body);
            headers
                .into_iter()
                .fold(frame, |frame, (name, value)| frame.with(name, value))
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(
        (version, frame) in versions().prop_flat_map(|version| (Just(version), frames(version))),
    ) {
        let bytes = encode(&frame, version);
        prop_assert_eq!(parse(version, &bytes), (vec![frame], None));
    }

    #[test]
    fn cuts_change_nothing(version in versions(), bytes in nearly_frames(), cuts in vec(any::<usize>(), 0..12)) {
        let whole = parse(version, &bytes);
        let limits = Limits::AFTER_CONNECT;
        prop_assert_eq!(parse_pieces(version, limits, &cut(&bytes, &cuts)), whole.clone());
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(parse_pieces(version, limits, &single), whole);
    }

    #[test]
    fn cuts_change_nothing_at_the_limits_either(bytes in nearly_frames(), cuts in vec(any::<usize>(), 0..12)) {
        let limits = Limits { headers_max: 2, line_bytes_max: 9, body_bytes_max: 4 };
        let whole = parse_pieces(Version::V1_2, limits, &[&bytes]);
        prop_assert_eq!(parse_pieces(Version::V1_2, limits, &cut(&bytes, &cuts)), whole);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(version in versions(), bytes in any::<Vec<u8>>()) {
        let (frames, _) = parse(version, &bytes);
        prop_assert!(frames.len() <= bytes.len());
    }

    #[test]
    fn no_frames_make_a_session_panic_and_nothing_is_done_before_connect(
        frames in vec(nearly_frames(), 1..12),
        connected in any::<bool>(),
    ) {
        let mut talk = if connected { TestSession::connected("1.2") } else { TestSession::before_connect() };
        for bytes in frames {
            for frame in parse(talk.session.version(), &bytes).0 {
                let mut effects = Vec::new();
                let before = talk.session.is_open();
                let refused = talk.session.handle(frame, &mut effects).is_err();
                prop_assert!(!refused || effects.is_empty(), "a refused frame has no effects");
                let only_asks = matches!(effects[..], [] | [Effect::Authenticate { .. }, ..]);
                prop_assert!(before || refused || only_asks);
            }
        }
    }

    /// Where `stomp-parser` 0.8 takes a SEND, the same destination and body are found here. It knows 1.2 only, needs
    /// its frames whole, and takes some that are none, so only its yes counts.
    #[test]
    fn another_parser_finds_the_same_in_a_send(
        destination in "[a-z/]{1,12}",
        body in "[a-zA-Z0-9 ]{0,30}",
        with_length in any::<bool>(),
        carriage_return in any::<bool>(),
    ) {
        let end = if carriage_return { "\r\n" } else { "\n" };
        let length = if with_length { format!("content-length:{}{end}", body.len()) } else { String::new() };
        let bytes = format!("SEND{end}destination:{destination}{end}{length}{end}{body}\0").into_bytes();
        let ours = one(Version::V1_2, &bytes);
        let ClientFrame::Send(theirs) = ClientFrame::try_from(bytes).expect("it reads plain frames") else {
            panic!("not a SEND to the other parser");
        };
        prop_assert_eq!(ours.headers.get("destination"), Some(theirs.destination().value()));
        prop_assert_eq!(Some(&ours.body[..]), theirs.body());
    }

    /// What we send is read by it as we meant it.
    #[test]
    fn another_parser_finds_the_same_in_our_message(
        id in "[a-z0-9-]{1,12}",
        destination in "[a-z/0-9]{1,20}",
        body in "[ -~]{0,40}",
    ) {
        let head = MessageHead::new(Version::V1_2, Some(&id), &destination);
        let rest = shared_rest(&[("message-id", "an-alert-0-41"), ("content-type", "text/plain")], body.as_bytes());
        let bytes = [head.as_bytes(), &rest].concat();
        let ServerFrame::Message(theirs) = ServerFrame::try_from(bytes).expect("it reads plain frames") else {
            panic!("not a MESSAGE to the other parser");
        };
        prop_assert_eq!(theirs.subscription().value(), id);
        prop_assert_eq!(theirs.destination().value(), destination);
        prop_assert_eq!(theirs.message_id().value(), "an-alert-0-41");
        prop_assert_eq!(theirs.body(), Some(body.as_bytes()));
    }
}
