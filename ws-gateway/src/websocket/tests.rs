//! RFC 6455, section by section.

use std::io;

use axum::http::{HeaderName, Method, Request, Version, header};
use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use tokio_tungstenite::tungstenite::{
    Error,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

use super::{testing::*, *};

/// What a client's bytes say, and how the connection fails.
fn read(pieces: &[&[u8]], message_bytes_max: usize) -> (Vec<Message>, Option<WebSocketError>) {
    let mut reader = MessageReader::new(message_bytes_max);
    let mut messages = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match reader.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    messages.push(message);
                    if messages.last().is_some_and(Message::is_close) {
                        return (messages, None);
                    }
                }
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// The same, of tungstenite alone, with a context for the whole connection.
fn read_by_tungstenite(
    pieces: &[&[u8]],
    message_bytes_max: usize,
) -> (Vec<Message>, Option<Error>) {
    let config = WebSocketConfig::default()
        .max_frame_size(Some(message_bytes_max))
        .max_message_size(Some(message_bytes_max));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut messages = Vec::new();
    for piece in pieces {
        let mut socket = Socket(piece);
        loop {
            match context.read(&mut socket) {
                Ok(message) => {
                    messages.push(message);
                    if messages.last().is_some_and(Message::is_close) {
                        return (messages, None);
                    }
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// Has these bytes to read and no more for now; takes all that is written.
struct Socket<'a>(&'a [u8]);

impl io::Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        io::Read::read(&mut self.0, buffer)
    }
}

impl io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn said(bytes: &[u8]) -> Vec<Message> {
    let (messages, error) = read(&[bytes], 1_000_000);
    assert_eq!(error, None);
    messages
}

/// The code that the connection fails with.
fn failed(bytes: &[u8]) -> u16 {
    let (_, error) = read(&[bytes], 1_000);
    let error = error.unwrap_or_else(|| panic!("taken: {bytes:x?}"));
    error.close_code().as_u16()
}

fn binary(payload: &[u8]) -> Message {
    Message::binary(payload.to_vec())
}

fn close(code: u16, reason: &str) -> Message {
    Message::Close(Some(CloseFrame {
        code: code.into(),
        reason: reason.into(),
    }))
}

#[test]
fn section_5_1_a_frame_that_is_not_masked_fails_the_connection() {
    assert_eq!(failed(b"\x81\x02hi"), 1002);
    assert_eq!(failed(b"\x88\x00"), 1002);
}

#[test]
fn section_5_2_every_length_is_read() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
        let payload = vec![b'x'; length];
        assert_eq!(said(&client_frame(BINARY, &payload)), [binary(&payload)]);
    }
}

#[test]
fn section_5_2_a_length_is_written_in_the_fewest_bytes() {
    let mask = [0; 4];
    let long_7 = [&[0x81, 0x80 | 126, 0, 125][..], &mask].concat();
    let long_16 = [&[0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff][..], &mask].concat();
    let ping = [&[0x89, 0x80 | 126, 0, 2][..], &mask, b"hi"].concat();
    for bytes in [long_7, long_16, ping] {
        assert_eq!(read(&[&bytes], 1_000).1, Some(WebSocketError::BadLength));
        assert_eq!(failed(&bytes), 1002);
    }
}

#[test]
fn section_5_2_reserved_bits_and_opcodes_fail_the_connection() {
    for bit in [0x40, 0x20, 0x10] {
        assert_eq!(failed(&raw_frame(0x80 | bit | TEXT, b"")), 1002);
    }
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        assert_eq!(failed(&client_frame(opcode, b"")), 1002, "{opcode:#x}");
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
            Message::Ping(b"there?"[..].into()),
            Message::Pong(Bytes::new()),
            Message::text("alert in 101")
        ]
    );
}

#[test]
fn section_5_4_fragments_of_two_messages_do_not_mix() {
    let second = [client_fragment(TEXT, b"a"), client_frame(TEXT, b"b")].concat();
    assert_eq!(failed(&second), 1002);
    assert_eq!(failed(&client_frame(CONTINUATION, b"a")), 1002);
    let after_end = [client_frame(TEXT, b"a"), client_frame(CONTINUATION, b"b")].concat();
    assert_eq!(failed(&after_end), 1002);
}

#[test]
fn section_5_5_control_frames_are_short_and_whole() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(failed(&client_frame(opcode, &[0; 126])), 1002);
        assert_eq!(failed(&client_fragment(opcode, b"")), 1002);
    }
    assert_eq!(
        said(&client_frame(PING, &[7; 125])),
        [Message::Ping(vec![7; 125].into())]
    );
}

#[test]
fn section_5_5_1_a_close_says_nothing_or_a_code_that_may_be_said() {
    assert_eq!(said(&client_frame(CLOSE, b"")), [Message::Close(None)]);
    let frame = |code: u16| {
        let payload = [&code.to_be_bytes()[..], "done \u{1F44D}".as_bytes()].concat();
        client_frame(CLOSE, &payload)
    };
    for code in [1000u16, 1001, 1002, 1003, 1007, 1011, 3000, 4999] {
        assert_eq!(said(&frame(code)), [close(code, "done \u{1F44D}")]);
    }
    // A code that must not be sent stands for a breach of the protocol, and is answered with that.
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert_eq!(said(&frame(code)), [close(1002, "Protocol violation")]);
    }
    assert_eq!(failed(&client_frame(CLOSE, b"\x03")), 1002);
    assert_eq!(failed(&client_frame(CLOSE, b"\x03\xe8\xff")), 1007);
}

#[test]
fn point_7_text_is_utf8_however_it_is_fragmented() {
    let flame = "\u{1F525}".as_bytes();
    let cut = [
        client_fragment(TEXT, &flame[..1]),
        client_frame(CONTINUATION, &flame[1..]),
    ]
    .concat();
    assert_eq!(said(&cut), [Message::text("\u{1F525}")]);

    for bytes in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"a\xf4\x90\x80\x80",
        &flame[..3],
    ] {
        assert_eq!(failed(&client_frame(TEXT, bytes)), 1007, "{bytes:x?}");
    }
}

#[test]
fn point_7_binary_may_be_anything() {
    assert_eq!(
        said(&client_frame(BINARY, b"\xff\x00")),
        [binary(b"\xff\x00")]
    );
}

#[test]
fn section_10_4_a_message_that_is_too_big_is_refused_by_its_header() {
    let header_only = &client_frame(TEXT, &[b'x'; 1_001])[..8];
    assert_eq!(failed(header_only), 1009);

    let fragments = [
        client_fragment(TEXT, &[b'x'; 600]),
        client_frame(CONTINUATION, &[b'x'; 600]),
    ]
    .concat();
    assert_eq!(failed(&fragments), 1009);

    for high in [0x7f, 0x80, 0xff] {
        let endless = [&[0x82, 0xff, high][..], &[0xff; 7], &[0; 4]].concat();
        assert_eq!(failed(&endless), 1009, "{high:#x}");
    }
}

#[test]
fn a_reader_holds_what_is_begun_and_between_messages_nothing() {
    let mut reader = MessageReader::default();
    let mut take = |bytes: &[u8]| {
        let said = reader.next(&mut &bytes[..]).unwrap();
        (said.is_some(), reader.bytes_held())
    };
    let whole = client_frame(TEXT, &[b'x'; 10_000]);
    assert_eq!(take(&whole), (true, 0));

    let (said, held) = take(&whole[..9_000]);
    assert!(!said && (9_000..20_000).contains(&held), "{held}");
    assert_eq!(take(&whole[9_000..]), (true, 0));

    let (said, held) = take(&client_fragment(TEXT, &[b'x'; 10_000]));
    assert!(!said && (20_000..40_000).contains(&held), "{held}");
    let (said, held) = take(&client_frame(PING, b""));
    assert!(said && 20_000 <= held, "{held}");
    assert_eq!(take(&client_frame(CONTINUATION, b"end")), (true, 0));
    assert!(size_of::<MessageReader>() <= 40);
}

#[test]
fn a_servers_frames_are_final_unmasked_and_read_back() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let payload = vec![b'x'; length];
        let mut bytes = message_frame(OpCode::Data(coding::Data::Text), &payload);
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

fn opening(more: &[(HeaderName, &str)]) -> Request<()> {
    let base = [
        (header::CONNECTION, "keep-alive, Upgrade"),
        (header::UPGRADE, "WebSocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut request = Request::new(());
    for (name, value) in base.iter().chain(more) {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

#[test]
fn section_4_2_2_the_handshake_is_accepted_as_in_the_rfcs_example() {
    let handshake = Handshake::read(&opening(&[])).unwrap();
    assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn section_4_2_1_what_is_no_opening_handshake_is_refused() {
    let mut without = opening(&[]);
    without.headers_mut().remove(header::UPGRADE);
    assert_eq!(Handshake::read(&without), Err(HandshakeError::NotAnUpgrade));
    let mut posted = opening(&[]);
    *posted.method_mut() = Method::POST;
    assert_eq!(Handshake::read(&posted), Err(HandshakeError::NotAnUpgrade));
    let mut http_1_0 = opening(&[]);
    *http_1_0.version_mut() = Version::HTTP_10;
    assert_eq!(
        Handshake::read(&http_1_0),
        Err(HandshakeError::NotAnUpgrade)
    );

    let with = |name: HeaderName, value: &str| {
        let mut request = opening(&[]);
        request.headers_mut().insert(name, value.parse().unwrap());
        Handshake::read(&request)
    };
    assert_eq!(
        with(header::SEC_WEBSOCKET_VERSION, "8"),
        Err(HandshakeError::WrongVersion)
    );
    for key in [
        "",
        "short==",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQAA==",
    ] {
        assert_eq!(
            with(header::SEC_WEBSOCKET_KEY, key),
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
        Handshake::read(&opening(&offered)).unwrap().subprotocol
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
        message_in_fragments(),
        vec(any::<u8>(), 0..12),
    ];
    vec(frame, 0..8).prop_map(|frames| frames.concat())
}

/// A message of text in two to four frames, cut anywhere, with a ping before the last.
fn message_in_fragments() -> impl Strategy<Value = Vec<u8>> {
    let cuts = vec(any::<usize>(), 1..4);
    ("\\PC{0,24}", cuts, any::<bool>()).prop_map(|(text, cuts, pings)| {
        let pieces = cut(text.as_bytes(), &cuts);
        let mut frames = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let opcode = if at == 0 { TEXT } else { CONTINUATION };
            if at + 1 < pieces.len() {
                frames.extend(client_fragment(opcode, piece));
                continue;
            }
            if pings {
                frames.extend(client_frame(PING, b"there?"));
            }
            frames.extend(client_frame(opcode, piece));
        }
        frames
    })
}

fn cut<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for at in cuts {
        let (piece, rest) = bytes.split_at(at % (bytes.len() + 1));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

proptest! {
    #[test]
    fn cuts_change_nothing(bytes in frames(), cuts in vec(any::<usize>(), 0..12)) {
        prop_assert_eq!(read(&cut(&bytes, &cuts), 60), read(&[&bytes], 60));
    }

    #[test]
    fn a_context_for_each_message_judges_as_one_for_the_connection(
        bytes in frames(),
        cuts in vec(any::<usize>(), 0..12),
        other_cuts in vec(any::<usize>(), 0..12),
    ) {
        let (messages, error) = read(&cut(&bytes, &cuts), 60);
        let (expected, expected_error) = read_by_tungstenite(&cut(&bytes, &other_cuts), 60);
        match error {
            // The one thing that we are stricter about.
            Some(WebSocketError::BadLength) => prop_assert!(expected.starts_with(&messages)),
            error => {
                prop_assert_eq!(messages, expected);
                let code = error.map(|error| error.close_code());
                let expected = expected_error.map(|error| match error {
                    Error::Protocol(_) => CloseCode::Protocol,
                    Error::Utf8(_) => CloseCode::InvalidData,
                    Error::Capacity(_) => CloseCode::TooBig,
                    other => panic!("{other}"),
                });
                prop_assert_eq!(code, expected);
            }
        }
    }

    #[test]
    fn what_a_client_sends_is_read(payload in vec(any::<u8>(), 0..300), cuts in vec(any::<usize>(), 0..8)) {
        let bytes = client_frame(BINARY, &payload);
        prop_assert_eq!(read(&cut(&bytes, &cuts), 1_000), (vec![binary(&payload)], None));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
        let (messages, _) = read(&[&bytes], 60);
        prop_assert!(messages.len() <= bytes.len());
    }
}
