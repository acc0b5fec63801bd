//! RFC 6455, section by section.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use proptest::{collection::vec, prelude::*};

use super::{testing::*, *};

/// What a client's bytes say, with the pieces of a message joined.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Message(Opcode, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

fn decode(pieces: &[&[u8]], message_bytes_max: u64) -> (Vec<Said>, Option<WebSocketError>) {
    let mut decoder = Decoder::new(message_bytes_max);
    let (mut said, mut message, mut opcode) = (Vec::new(), Vec::new(), Opcode::Text);
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        loop {
            match decoder.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(Event::Data(kind, piece))) => {
                    opcode = kind;
                    message.extend_from_slice(piece);
                }
                Ok(Some(Event::MessageEnd)) => {
                    said.push(Said::Message(opcode, std::mem::take(&mut message)))
                }
                Ok(Some(Event::Ping(payload))) => said.push(Said::Ping(payload)),
                Ok(Some(Event::Pong)) => said.push(Said::Pong),
                Ok(Some(Event::Close(code))) => said.push(Said::Close(code)),
                Err(error) => return (said, Some(error)),
            }
        }
    }
    (said, None)
}

fn said(bytes: &[u8]) -> Vec<Said> {
    let (said, error) = decode(&[bytes], 1_000_000);
    assert_eq!(error, None);
    said
}

fn failed(bytes: &[u8]) -> WebSocketError {
    decode(&[bytes], 1_000)
        .1
        .unwrap_or_else(|| panic!("taken: {bytes:x?}"))
}

fn text(text: &str) -> Said {
    Said::Message(Opcode::Text, text.as_bytes().to_vec())
}

#[test]
fn section_5_1_a_frame_that_is_not_masked_fails_the_connection() {
    assert_eq!(failed(b"\x81\x02hi"), WebSocketError::NotMasked);
    assert_eq!(failed(b"\x88\x00"), WebSocketError::NotMasked);
    assert_eq!(WebSocketError::NotMasked.close_code().as_u16(), 1002);
}

#[test]
fn section_5_2_every_length_is_read() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
        let payload = vec![b'x'; length];
        let message = Said::Message(Opcode::Binary, payload.clone());
        let expected = if length == 0 {
            Said::Message(Opcode::Text, payload.clone())
        } else {
            message
        };
        assert_eq!(
            said(&client_frame(BINARY, &payload)),
            [expected],
            "{length}"
        );
    }
}

#[test]
fn section_5_2_a_length_is_written_in_the_fewest_bytes() {
    let mask = [0; 4];
    let long_7 = [&[0x81, 0x80 | 126, 0, 125][..], &mask].concat();
    let long_16 = [&[0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff][..], &mask].concat();
    let signed = [&[0x81, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &mask].concat();
    for bytes in [long_7, long_16, signed] {
        assert_eq!(failed(&bytes), WebSocketError::BadLength);
    }
}

#[test]
fn section_5_2_reserved_bits_and_opcodes_fail_the_connection() {
    for bit in [0x40, 0x20, 0x10] {
        assert_eq!(
            failed(&raw_frame(0x80 | bit | TEXT, b"")),
            WebSocketError::ReservedBit
        );
    }
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        assert_eq!(
            failed(&client_frame(opcode, b"")),
            WebSocketError::ReservedOpcode,
            "{opcode:#x}"
        );
    }
}

#[test]
fn section_5_4_a_message_may_come_in_fragments_with_control_frames_between() {
    let bytes = [
        client_fragment(TEXT, b"alert "),
        client_frame(PING, b"there?"),
        client_fragment(CONTINUATION, b"in "),
        client_frame(PONG, b""),
        client_frame(CONTINUATION, b"101"),
    ]
    .concat();
    assert_eq!(
        said(&bytes),
        [
            Said::Ping(b"there?".to_vec()),
            Said::Pong,
            text("alert in 101")
        ]
    );
}

#[test]
fn section_5_4_fragments_of_two_messages_do_not_mix() {
    let second = [client_fragment(TEXT, b"a"), client_frame(TEXT, b"b")].concat();
    assert_eq!(failed(&second), WebSocketError::UnexpectedMessage);
    assert_eq!(
        failed(&client_frame(CONTINUATION, b"a")),
        WebSocketError::UnexpectedContinuation
    );
    let after_end = [client_frame(TEXT, b"a"), client_frame(CONTINUATION, b"b")].concat();
    assert_eq!(failed(&after_end), WebSocketError::UnexpectedContinuation);
}

#[test]
fn section_5_5_control_frames_are_short_and_whole() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(
            failed(&client_frame(opcode, &[0; 126])),
            WebSocketError::ControlTooLong
        );
        assert_eq!(
            failed(&client_fragment(opcode, b"")),
            WebSocketError::FragmentedControl
        );
    }
    assert_eq!(
        said(&client_frame(PING, &[7; 125])),
        [Said::Ping(vec![7; 125])]
    );
}

#[test]
fn section_5_5_1_a_close_says_nothing_or_a_code_that_may_be_said() {
    assert_eq!(said(&client_frame(CLOSE, b"")), [Said::Close(None)]);
    for code in [1000u16, 1001, 1002, 1003, 1007, 1011, 3000, 4999] {
        let payload = [&code.to_be_bytes()[..], "done \u{1F44D}".as_bytes()].concat();
        assert_eq!(
            said(&client_frame(CLOSE, &payload)),
            [Said::Close(Some(code))]
        );
    }
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert_eq!(
            failed(&client_frame(CLOSE, &code.to_be_bytes())),
            WebSocketError::BadClose,
            "{code}"
        );
    }
    assert_eq!(
        failed(&client_frame(CLOSE, b"\x03")),
        WebSocketError::BadClose
    );
    assert_eq!(
        failed(&client_frame(CLOSE, b"\x03\xe8\xff")),
        WebSocketError::NotUtf8
    );
}

#[test]
fn point_7_text_is_utf8_however_it_is_fragmented() {
    let flame = "\u{1F525}".as_bytes();
    let cut = [
        client_fragment(TEXT, &flame[..1]),
        client_frame(CONTINUATION, &flame[1..]),
    ]
    .concat();
    assert_eq!(said(&cut), [text("\u{1F525}")]);

    for bytes in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"a\xf4\x90\x80\x80",
        &flame[..3],
    ] {
        assert_eq!(
            failed(&client_frame(TEXT, bytes)),
            WebSocketError::NotUtf8,
            "{bytes:x?}"
        );
    }
    assert_eq!(WebSocketError::NotUtf8.close_code().as_u16(), 1007);
}

#[test]
fn point_7_binary_may_be_anything() {
    assert_eq!(
        said(&client_frame(BINARY, b"\xff\x00")),
        [Said::Message(Opcode::Binary, b"\xff\x00".to_vec())]
    );
}

#[test]
fn section_10_4_a_message_that_is_too_big_is_refused_by_its_header() {
    let header_only = &client_frame(TEXT, &[b'x'; 1_001])[..8];
    assert_eq!(failed(header_only), WebSocketError::TooBig(1_000));

    let fragments = [
        client_fragment(TEXT, &[b'x'; 600]),
        client_frame(CONTINUATION, &[b'x'; 600]),
    ]
    .concat();
    assert_eq!(failed(&fragments), WebSocketError::TooBig(1_000));
    assert_eq!(WebSocketError::TooBig(0).close_code().as_u16(), 1009);

    let endless = [
        &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &[0; 4],
    ]
    .concat();
    assert_eq!(failed(&endless), WebSocketError::TooBig(1_000));
}

#[test]
fn a_servers_frames_are_final_unmasked_and_read_back() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let payload = vec![b'x'; length];
        let mut bytes = frame(Opcode::Text, &payload);
        assert_eq!(
            take_server_frame(&mut bytes),
            Some(ServerFrame {
                opcode: TEXT,
                payload
            })
        );
        assert!(bytes.is_empty());
    }
}

#[test]
fn a_close_reason_is_cut_at_a_characters_beginning() {
    let mut bytes = close_frame(CloseCode::TooSlow, &"수".repeat(100));
    let close = take_server_frame(&mut bytes).unwrap();
    assert_eq!(close.opcode, CLOSE);
    assert_eq!(close.payload[..2], 4413u16.to_be_bytes());
    assert_eq!(
        std::str::from_utf8(&close.payload[2..]),
        Ok("수".repeat(41).as_str())
    );
}

fn request(headers: &[(header::HeaderName, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, HeaderValue::from_static(value));
    }
    map
}

fn opening(more: &[(header::HeaderName, &'static str)]) -> HeaderMap {
    let base = [
        (header::CONNECTION, "keep-alive, Upgrade"),
        (header::UPGRADE, "WebSocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    request(&[&base, more].concat())
}

#[test]
fn section_4_2_2_the_handshake_is_accepted_as_in_the_rfcs_example() {
    let handshake = Handshake::read(&Method::GET, &opening(&[])).unwrap();
    assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn section_4_2_1_what_is_no_opening_handshake_is_refused() {
    let mut without = opening(&[]);
    without.remove(header::UPGRADE);
    assert_eq!(
        Handshake::read(&Method::GET, &without),
        Err(HandshakeError::NotAnUpgrade)
    );
    assert_eq!(
        Handshake::read(&Method::POST, &opening(&[])),
        Err(HandshakeError::NotAnUpgrade)
    );

    let mut old = opening(&[]);
    old.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
    assert_eq!(
        Handshake::read(&Method::GET, &old),
        Err(HandshakeError::WrongVersion)
    );

    for key in [
        "",
        "short==",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQAA==",
    ] {
        let mut bad = opening(&[]);
        bad.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static(key));
        assert_eq!(
            Handshake::read(&Method::GET, &bad),
            Err(HandshakeError::BadKey),
            "{key:?}"
        );
    }
}

#[test]
fn point_1_exactly_one_of_the_offered_subprotocols_is_chosen_the_highest() {
    let chosen = |lists: &[&'static str]| {
        let offered: Vec<_> = lists
            .iter()
            .map(|list| (header::SEC_WEBSOCKET_PROTOCOL, *list))
            .collect();
        Handshake::read(&Method::GET, &opening(&offered))
            .unwrap()
            .subprotocol
    };
    assert_eq!(
        chosen(&["v12.stomp, v11.stomp, v10.stomp"]),
        Some("v12.stomp")
    );
    assert_eq!(chosen(&["v10.stomp", "v11.stomp"]), Some("v11.stomp"));
    assert_eq!(chosen(&["mqtt,v10.stomp"]), Some("v10.stomp"));
    assert_eq!(
        chosen(&[]),
        None,
        "none offered: accepted without the header"
    );
    assert_eq!(
        chosen(&["mqtt, V12.STOMP"]),
        None,
        "only unknown ones: accepted without the header"
    );
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        (0u8..16, vec(any::<u8>(), 0..40))
            .prop_map(|(opcode, payload)| client_frame(opcode, &payload)),
        (0u8..3, "\\PC{0,12}").prop_map(|(opcode, text)| client_fragment(opcode, text.as_bytes())),
        vec(any::<u8>(), 0..12),
    ];
    vec(frame, 0..8).prop_map(|frames| frames.concat())
}

/// What is said by bytes that come in `pieces`, but for how far a message had come when it failed.
fn decode_cut(bytes: &[u8], cuts: &[usize]) -> (Vec<Said>, Option<WebSocketError>) {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for at in cuts {
        let (piece, after) = rest.split_at(at % (rest.len() + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    decode(&pieces, 60)
}

proptest! {
    #[test]
    fn cuts_change_nothing(bytes in frames(), cuts in vec(any::<usize>(), 0..12)) {
        prop_assert_eq!(decode_cut(&bytes, &cuts), decode(&[&bytes], 60));
    }

    #[test]
    fn what_a_client_sends_is_read(payload in vec(any::<u8>(), 1..300), cuts in vec(any::<usize>(), 0..8)) {
        let bytes = client_frame(BINARY, &payload);
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for at in cuts {
            let (piece, after) = rest.split_at(at % (rest.len() + 1));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(decode(&pieces, 1_000), (vec![Said::Message(Opcode::Binary, payload)], None));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in any::<Vec<u8>>()) {
        let (said, _) = decode(&[&bytes], 60);
        prop_assert!(said.len() <= bytes.len());
    }
}
