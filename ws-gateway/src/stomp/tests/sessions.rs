//! Points 19 to 43: what frames mean.

use std::time::Duration;

use super::*;
use crate::stomp::{AckMode, ErrorText, Subscribe, SubscriptionKey, TOKEN_DESTINATION, encode};

fn subscription(effects: Vec<Effect>) -> Subscribe {
    effects
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Subscribe(subscribe) => Some(subscribe),
            _ => None,
        })
        .expect("a subscription")
}

fn refusal() -> ErrorText {
    ErrorText {
        code: "line_mismatch",
        retry: "never",
        message: "not your line",
        detail: "a sentence: with anything".to_owned(),
        lists_versions: false,
    }
}

#[test]
fn point_19_connect_and_stomp_are_the_same() {
    for command in ["CONNECT", "STOMP"] {
        let answer = TestSession::before_connect()
            .answer(&format!("{command}\naccept-version:1.2\nhost:h\n\n\0"));
        assert_eq!(answer[0].command, Command::Connected);
    }
}

#[test]
fn point_19_anything_before_connect_is_refused() {
    for command in ["SUBSCRIBE", "SEND", "DISCONNECT", "MESSAGE", "ACK"] {
        let refusal = TestSession::before_connect()
            .refusal(&format!("{command}\nid:0\ndestination:/sub/line/1\n\n\0"));
        assert!(
            matches!(refusal, ProtocolError::NotConnected(_)),
            "{command}: {refusal}"
        );
    }
}

#[test]
fn point_19_a_second_connect_is_refused() {
    let mut talk = TestSession::connected("1.2");
    assert_eq!(
        talk.refusal("CONNECT\naccept-version:1.2\nhost:h\n\n\0"),
        ProtocolError::AlreadyConnected
    );
}

#[test]
fn point_20_the_highest_common_version_is_spoken() {
    for (offered, spoken) in [
        ("1.0,1.1,1.2", "1.2"),
        ("1.1", "1.1"),
        (" 1.0 , 1.1 ,9.9", "1.1"),
        ("1.2,1.0,2.0", "1.2"),
    ] {
        let answer = TestSession::before_connect()
            .answer(&format!("CONNECT\naccept-version:{offered}\nhost:h\n\n\0"));
        assert_eq!(
            answer[0].headers.get("version"),
            Some(spoken),
            "{offered:?}"
        );
    }
}

#[test]
fn point_20_no_accept_version_means_1_0() {
    let mut talk = TestSession::before_connect();
    let answer = talk.answer("CONNECT\nlogin:kim\n\n\0");
    assert_eq!(answer[0].headers.get("version"), Some("1.0"));
    assert_eq!(talk.session.version(), Version::V1_0);
}

#[test]
fn point_20_without_a_common_version_the_error_lists_ours() {
    let mut talk = TestSession::before_connect();
    assert_eq!(
        talk.refusal("CONNECT\naccept-version:2.0,0.9\nhost:h\n\n\0"),
        ProtocolError::NoCommonVersion
    );

    let error = talk
        .session
        .error(&ErrorText {
            lists_versions: true,
            ..refusal()
        })
        .unwrap();

    let error = one(Version::V1_2, &error);
    assert_eq!(error.headers.get("version"), Some("1.0,1.1,1.2"));
}

#[test]
fn point_21_a_missing_host_is_not_refused() {
    let answer = TestSession::before_connect().answer("CONNECT\naccept-version:1.2\n\n\0");
    assert_eq!(answer[0].command, Command::Connected);
}

#[test]
fn point_22_connected_says_version_server_session_and_heart_beat() {
    let answer = TestSession::before_connect()
        .answer("CONNECT\naccept-version:1.1,1.2\nhost:h\nheart-beat:10000,10000\n\n\0");
    let connected = &answer[0];
    assert_eq!(connected.headers.get("version"), Some("1.2"));
    assert!(
        connected
            .headers
            .get("server")
            .unwrap()
            .starts_with("mayday-ws-gateway/")
    );
    assert_eq!(connected.headers.get("session"), Some("0000000000000007"));
    assert_eq!(connected.headers.get("heart-beat"), Some("25000,0"));
}

#[test]
fn point_23_a_receipt_on_connect_is_ignored() {
    let answer = TestSession::before_connect()
        .answer("CONNECT\naccept-version:1.2\nhost:h\nreceipt:r\n\n\0");
    assert_eq!(
        answer.iter().map(|frame| frame.command).collect::<Vec<_>>(),
        [Command::Connected]
    );
}

#[test]
fn point_24_connected_is_said_only_after_the_token_was_checked() {
    let effects = TestSession::before_connect()
        .say("CONNECT\naccept-version:1.2\nhost:h\nAuthorization:Bearer a.b.c\n\n\0")
        .unwrap();
    assert_eq!(
        effects[0],
        Effect::Authenticate {
            authorization: Some("Bearer a.b.c".to_owned())
        }
    );
    assert!(matches!(effects[1], Effect::Send(_)));
}

#[test]
fn point_24_a_refused_token_is_answered_with_an_error_that_does_not_repeat_it() {
    let mut talk = TestSession::before_connect();
    talk.say("CONNECT\naccept-version:1.2\nhost:h\nAuthorization:Bearer geheim\n\n\0")
        .unwrap();

    let error = talk.session.error(&refusal()).unwrap();

    assert!(!String::from_utf8_lossy(&error).contains("geheim"));
    assert_eq!(
        talk.say("SUBSCRIBE\nid:0\ndestination:/sub/line/1\n\n\0")
            .unwrap(),
        [],
        "nothing counts after it"
    );
}

#[test]
fn point_25_each_direction_beats_at_the_slower_wish_or_not_at_all() {
    let beats = |header: &str| {
        let mut talk = TestSession::before_connect();
        talk.say(&format!(
            "CONNECT\naccept-version:1.2\nhost:h\n{header}\n\0"
        ))
        .unwrap();
        talk.session.heart_beat_every()
    };
    assert_eq!(
        beats("heart-beat:10000,10000\n"),
        Some(Duration::from_secs(25))
    );
    assert_eq!(beats("heart-beat:0,60000\n"), Some(Duration::from_secs(60)));
    assert_eq!(beats("heart-beat:10000,0\n"), None);
    assert_eq!(beats(""), None, "a missing header is 0,0");
}

#[test]
fn point_25_a_malformed_heart_beat_is_refused() {
    for value in [
        "",
        "1",
        "1,",
        "a,b",
        "-1,0",
        "1,2,3",
        "1.5,0",
        "99999999999,0",
    ] {
        let refusal = TestSession::before_connect().refusal(&format!(
            "CONNECT\naccept-version:1.2\nhost:h\nheart-beat:{value}\n\n\0"
        ));
        assert_eq!(refusal, ProtocolError::BadHeartBeat, "{value:?}");
    }
}

#[test]
fn point_27_the_servers_own_numbers_make_its_pace_the_rule_and_28_ask_nothing_of_background_tabs() {
    let answer = TestSession::before_connect()
        .answer("CONNECT\naccept-version:1.1\nhost:h\nheart-beat:10000,10000\n\n\0");
    assert_eq!(answer[0].headers.get("heart-beat"), Some("25000,0"));
}

#[test]
fn point_29_a_subscription_needs_a_destination_and_from_1_1_on_an_id() {
    let missing = |header| ProtocolError::MissingHeader {
        command: Command::Subscribe,
        header,
    };
    for version in ["1.1", "1.2"] {
        assert_eq!(
            TestSession::connected(version).refusal("SUBSCRIBE\nid:0\n\n\0"),
            missing("destination")
        );
        assert_eq!(
            TestSession::connected(version).refusal("SUBSCRIBE\ndestination:/a\n\n\0"),
            missing("id")
        );
    }
    assert_eq!(
        TestSession::connected("1.0").refusal("SUBSCRIBE\nid:0\n\n\0"),
        missing("destination")
    );
}

#[test]
fn point_29_in_1_0_a_subscription_without_id_is_known_by_its_destination() {
    let mut talk = TestSession::connected("1.0");
    let subscribe = subscription(
        talk.say("SUBSCRIBE\ndestination:/sub/line/1\n\n\0")
            .unwrap(),
    );
    let head = String::from_utf8(subscribe.head.as_bytes().to_vec()).unwrap();
    assert_eq!(head, "MESSAGE\ndestination:/sub/line/1\n");

    let effects = talk
        .say("UNSUBSCRIBE\ndestination:/sub/line/1\n\n\0")
        .unwrap();

    assert_eq!(effects, [Effect::Unsubscribe(subscribe.key)]);
}

#[test]
fn point_30_an_id_names_one_subscription_of_a_connection() {
    let mut talk = TestSession::connected("1.2");
    talk.say("SUBSCRIBE\nid:0\ndestination:/a\n\n\0").unwrap();
    assert_eq!(
        talk.refusal("SUBSCRIBE\nid:0\ndestination:/b\n\n\0"),
        ProtocolError::DuplicateSubscription
    );
}

#[test]
fn point_30_the_same_destination_under_two_ids_is_two_subscriptions() {
    let mut talk = TestSession::connected("1.2");
    let first = subscription(talk.say("SUBSCRIBE\nid:0\ndestination:/a\n\n\0").unwrap());
    let second = subscription(talk.say("SUBSCRIBE\nid:1\ndestination:/a\n\n\0").unwrap());
    assert_ne!(first.key, second.key);
}

#[test]
fn point_31_a_subscription_that_is_not_permitted_ends_the_session_with_an_error() {
    let mut talk = TestSession::connected("1.2");
    let frame = one(
        Version::V1_2,
        b"SUBSCRIBE\nid:0\ndestination:/sub/line/other\nreceipt:r-1\n\n\0",
    );
    talk.session.handle(frame, &mut Vec::new()).unwrap();

    let error = one(Version::V1_2, &talk.session.error(&refusal()).unwrap());

    assert_eq!(error.command, Command::Error);
    assert_eq!(error.headers.get("receipt-id"), Some("r-1"));
    assert!(!talk.session.is_open());
}

#[test]
fn point_32_unsubscribing_what_is_not_subscribed_is_refused() {
    let mut talk = TestSession::connected("1.2");
    talk.say("SUBSCRIBE\nid:0\ndestination:/a\n\n\0").unwrap();
    assert_eq!(
        talk.refusal("UNSUBSCRIBE\nid:1\n\n\0"),
        ProtocolError::UnknownSubscription
    );

    let mut talk = TestSession::connected("1.2");
    talk.say("SUBSCRIBE\nid:0\ndestination:/a\n\n\0").unwrap();
    talk.say("UNSUBSCRIBE\nid:0\n\n\0").unwrap();
    assert_eq!(
        talk.refusal("UNSUBSCRIBE\nid:0\n\n\0"),
        ProtocolError::UnknownSubscription
    );
}

#[test]
fn point_33_a_messages_head_echoes_the_destination_as_it_was_spelled() {
    let mut talk = TestSession::connected("1.2");
    let subscribe = subscription(
        talk.say("SUBSCRIBE\nid:x\\cy\ndestination:/sub/line/１０１\n\n\0")
            .unwrap(),
    );
    let head = String::from_utf8(subscribe.head.as_bytes().to_vec()).unwrap();
    assert_eq!(
        head,
        "MESSAGE\nsubscription:x\\cy\ndestination:/sub/line/１０１\n"
    );
}

#[test]
fn point_34_ack_modes_are_auto_client_and_client_individual() {
    for (header, mode) in [
        ("", AckMode::Auto),
        ("ack:auto\n", AckMode::Auto),
        ("ack:client\n", AckMode::Client),
        ("ack:client-individual\n", AckMode::ClientIndividual),
    ] {
        let mut talk = TestSession::connected("1.2");
        let effects = talk
            .say(&format!("SUBSCRIBE\nid:0\ndestination:/a\n{header}\n\0"))
            .unwrap();
        assert_eq!(subscription(effects).ack, mode);
    }
    let refusal =
        TestSession::connected("1.2").refusal("SUBSCRIBE\nid:0\ndestination:/a\nack:yes\n\n\0");
    assert_eq!(refusal, ProtocolError::BadAckMode);
}

/// A session with three messages out on a subscription of that mode.
fn with_three_messages(version: &str, mode: &str) -> (TestSession, SubscriptionKey) {
    let mut talk = TestSession::connected(version);
    let effects = talk
        .say(&format!(
            "SUBSCRIBE\nid:s\ndestination:/a\nack:{mode}\n\n\0"
        ))
        .unwrap();
    let key = subscription(effects).key;
    for offset in 1..=3 {
        talk.session.delivered(key, &format!("an-alert-0-{offset}"));
    }
    (talk, key)
}

#[test]
fn point_34_an_ack_in_client_mode_stands_for_all_before_it() {
    let (mut talk, _) = with_three_messages("1.2", "client");
    assert_eq!(
        talk.say("ACK\nid:2\n\n\0").unwrap(),
        [Effect::Acknowledged(2)]
    );
    assert_eq!(
        talk.say("ACK\nid:3\n\n\0").unwrap(),
        [Effect::Acknowledged(1)]
    );
}

#[test]
fn point_34_an_ack_in_client_individual_mode_stands_for_one() {
    let (mut talk, _) = with_three_messages("1.2", "client-individual");
    assert_eq!(talk.say("NACK\nid:2\n\n\0").unwrap(), [Effect::Declined(1)]);
    assert_eq!(
        talk.say("ACK\nid:3\nsubscription:s\n\n\0").unwrap(),
        [Effect::Acknowledged(1)]
    );
}

#[test]
fn point_34_each_version_names_the_message_in_its_own_way() {
    let (mut talk, _) = with_three_messages("1.1", "client");
    let ack = "ACK\nsubscription:s\nmessage-id:an-alert-0-2\n\n\0";
    assert_eq!(talk.say(ack).unwrap(), [Effect::Acknowledged(2)]);
    assert_eq!(
        talk.refusal("ACK\nmessage-id:an-alert-0-3\n\n\0"),
        ProtocolError::MissingHeader {
            command: Command::Ack,
            header: "subscription"
        }
    );

    let (mut talk, _) = with_three_messages("1.0", "client");
    assert_eq!(
        talk.say("ACK\nmessage-id:an-alert-0-3\n\n\0").unwrap(),
        [Effect::Acknowledged(3)]
    );

    let (mut talk, _) = with_three_messages("1.2", "client");
    assert_eq!(
        talk.refusal("ACK\nmessage-id:an-alert-0-3\n\n\0"),
        ProtocolError::MissingHeader {
            command: Command::Ack,
            header: "id"
        }
    );
}

#[test]
fn point_34_only_1_2_adds_an_ack_header_and_1_0_has_no_nack() {
    for (version, number) in [("1.0", None), ("1.1", None), ("1.2", Some(4))] {
        let (mut talk, key) = with_three_messages(version, "client");
        assert_eq!(
            talk.session.delivered(key, "an-alert-0-4"),
            number,
            "{version}"
        );
    }
    let (mut talk, _) = with_three_messages("1.0", "client");
    let refusal = talk.refusal("NACK\nmessage-id:an-alert-0-1\n\n\0");
    assert_eq!(
        refusal,
        ProtocolError::UnexpectedCommand(Command::Nack, Version::V1_0)
    );
}

#[test]
fn an_ack_for_nothing_that_waits_is_passed_over() {
    let (mut talk, _) = with_three_messages("1.2", "client");
    talk.say("ACK\nid:3\n\n\0").unwrap();
    for id in ["3", "99", "undefined"] {
        assert_eq!(
            talk.say(&format!("ACK\nid:{id}\n\n\0")).unwrap(),
            [Effect::Acknowledged(0)]
        );
    }
}

#[test]
fn point_36_what_the_server_chooses_is_safe_for_clients_that_trim_and_unescape_badly() {
    let mut talk = TestSession::connected("1.2");
    let connected = TestSession::before_connect()
        .answer("CONNECT\naccept-version:1.2\nhost:h\n\n\0")
        .remove(0);
    let error = one(Version::V1_2, &talk.session.error(&refusal()).unwrap());
    for (name, value) in connected.headers.iter().chain(error.headers.iter()) {
        assert_eq!(value.trim(), value, "{name}");
        assert!(!value.contains(['\\', ':', '\r', '\n']), "{name}:{value}");
    }
}

#[test]
fn point_37_every_frame_but_connect_is_answered_with_its_receipt() {
    let mut talk = TestSession::connected("1.2");
    for frame in [
        "SUBSCRIBE\nid:0\ndestination:/a\nack:client\nreceipt:r\n\n\0",
        "ACK\nid:1\nreceipt:r\n\n\0",
        "NACK\nid:1\nreceipt:r\n\n\0",
        "UNSUBSCRIBE\nid:0\nreceipt:r\n\n\0",
        "BEGIN\ntransaction:t\nreceipt:r\n\n\0",
        "COMMIT\ntransaction:t\nreceipt:r\n\n\0",
        "BEGIN\ntransaction:t\nreceipt:r\n\n\0",
        "ABORT\ntransaction:t\nreceipt:r\n\n\0",
        "SEND\ndestination:/pub/token\nreceipt:r\n\n\0",
        "DISCONNECT\nreceipt:r\n\n\0",
    ] {
        let answer = talk.answer(frame);
        assert!(
            answer.len() == 1 && is_receipt(&answer[0], "r"),
            "{frame}: {answer:?}"
        );
    }
}

#[test]
fn point_37_a_receipt_follows_what_it_stands_for() {
    let effects = TestSession::connected("1.2")
        .say("SUBSCRIBE\nid:0\ndestination:/a\nreceipt:r\n\n\0")
        .unwrap();
    assert!(
        matches!(&effects[..], [Effect::Subscribe(_), Effect::Send(_)]),
        "{effects:?}"
    );
}

#[test]
fn point_37_a_receipt_id_comes_back_as_it_was_escaped() {
    for version in ["1.1", "1.2"] {
        let answer = TestSession::connected(version)
            .answer("BEGIN\ntransaction:t\nreceipt:a\\cb\\\\n\n\n\0");
        assert_eq!(
            answer[0].headers.get("receipt-id"),
            Some("a:b\\n"),
            "{version}"
        );
    }
}

#[test]
fn point_38_disconnect_is_answered_with_its_receipt_and_then_the_client_is_let_go() {
    let mut talk = TestSession::connected("1.2");
    let effects = talk.say("DISCONNECT\nreceipt:77\n\n\0").unwrap();
    assert!(
        matches!(&effects[..], [Effect::Send(_), Effect::Disconnect]),
        "{effects:?}"
    );
}

#[test]
fn point_38_disconnect_without_a_receipt_is_no_error() {
    assert_eq!(
        TestSession::connected("1.2")
            .say("DISCONNECT\n\n\0")
            .unwrap(),
        [Effect::Disconnect]
    );
}

#[test]
fn point_39_acks_in_a_transaction_count_when_it_commits() {
    let (mut talk, _) = with_three_messages("1.2", "client-individual");
    talk.say("BEGIN\ntransaction:t\n\n\0").unwrap();
    assert_eq!(talk.say("ACK\nid:1\ntransaction:t\n\n\0").unwrap(), []);
    assert_eq!(talk.say("NACK\nid:2\ntransaction:t\n\n\0").unwrap(), []);

    let effects = talk.say("COMMIT\ntransaction:t\n\n\0").unwrap();

    assert_eq!(effects, [Effect::Acknowledged(1), Effect::Declined(1)]);
}

#[test]
fn point_39_an_aborted_transaction_leaves_nothing() {
    let (mut talk, _) = with_three_messages("1.2", "client");
    talk.say("BEGIN\ntransaction:t\n\n\0").unwrap();
    talk.say("ACK\nid:3\ntransaction:t\n\n\0").unwrap();

    assert_eq!(talk.say("ABORT\ntransaction:t\n\n\0").unwrap(), []);

    assert_eq!(
        talk.say("ACK\nid:3\n\n\0").unwrap(),
        [Effect::Acknowledged(3)]
    );
}

#[test]
fn point_39_a_transaction_has_one_name_and_is_known() {
    let mut talk = TestSession::connected("1.2");
    talk.say("BEGIN\ntransaction:t\n\n\0").unwrap();
    assert_eq!(
        talk.refusal("BEGIN\ntransaction:t\n\n\0"),
        ProtocolError::DuplicateTransaction
    );
    for frame in [
        "COMMIT",
        "ABORT",
        "ACK\nid:1",
        "NACK\nid:1",
        "SEND\ndestination:/pub/token",
    ] {
        let refusal =
            TestSession::connected("1.2").refusal(&format!("{frame}\ntransaction:u\n\n\0"));
        assert_eq!(refusal, ProtocolError::UnknownTransaction, "{frame}");
    }
    for command in [Command::Begin, Command::Commit, Command::Abort] {
        let refusal = TestSession::connected("1.2").refusal(&format!("{}\n\n\0", command.as_str()));
        assert_eq!(
            refusal,
            ProtocolError::MissingHeader {
                command,
                header: "transaction"
            }
        );
    }
}

#[test]
fn point_40_a_send_is_refused_but_for_a_new_token() {
    let mut talk = TestSession::connected("1.2");
    let effects = talk
        .say(&format!(
            "SEND\ndestination:{TOKEN_DESTINATION}\nauthorization:Bearer x.y.z\n\n\0"
        ))
        .unwrap();
    assert_eq!(
        effects,
        [Effect::Renew {
            authorization: Some("Bearer x.y.z".to_owned())
        }]
    );

    assert_eq!(
        talk.refusal("SEND\ndestination:/sub/line/101\n\nhello\0"),
        ProtocolError::SendRefused
    );
}

#[test]
fn point_41_an_unknown_command_and_the_servers_own_are_refused() {
    let mut talk = TestSession::connected("1.2");
    assert_eq!(
        talk.refusal("HELO\n\n\0"),
        ProtocolError::Parse(ParseError::UnknownCommand)
    );
    for command in [
        Command::Connected,
        Command::Message,
        Command::Receipt,
        Command::Error,
    ] {
        let refusal = TestSession::connected("1.2").refusal(&format!("{}\n\n\0", command.as_str()));
        assert_eq!(
            refusal,
            ProtocolError::UnexpectedCommand(command, Version::V1_2)
        );
    }
}

#[test]
fn point_42_an_error_says_a_message_and_names_the_receipt_of_its_culprit_only() {
    let mut talk = TestSession::connected("1.2");
    talk.say("BEGIN\ntransaction:t\nreceipt:innocent\n\n\0")
        .unwrap();
    talk.refusal("BEGIN\ntransaction:t\nreceipt:culprit\n\n\0");
    let error = one(Version::V1_2, &talk.session.error(&refusal()).unwrap());
    assert_eq!(error.headers.get("message"), Some("not your line"));
    assert_eq!(error.headers.get("code"), Some("line_mismatch"));
    assert_eq!(error.headers.get("retry"), Some("never"));
    assert_eq!(error.headers.get("receipt-id"), Some("culprit"));
    assert_eq!(error.body, b"a sentence: with anything");

    let mut talk = TestSession::connected("1.2");
    talk.say("BEGIN\ntransaction:t\nreceipt:innocent\n\n\0")
        .unwrap();
    let error = one(Version::V1_2, &talk.session.error(&refusal()).unwrap());
    assert_eq!(error.headers.get("receipt-id"), None);
}

#[test]
fn point_42_there_is_one_error_and_it_is_the_last_frame() {
    let mut talk = TestSession::connected("1.2");
    assert!(talk.session.error(&refusal()).is_some());
    assert!(talk.session.error(&refusal()).is_none());
    assert_eq!(
        talk.say("BEGIN\ntransaction:t\nreceipt:r\n\n\0").unwrap(),
        []
    );
}

#[test]
fn point_43_what_comes_after_disconnect_is_passed_over() {
    let mut talk = TestSession::connected("1.2");
    talk.say("DISCONNECT\n\n\0").unwrap();
    for frame in [
        "SUBSCRIBE\nid:0\ndestination:/a\nreceipt:r\n\n\0",
        "CONNECT\n\n\0",
        "DISCONNECT\nreceipt:r\n\n\0",
    ] {
        assert_eq!(talk.say(frame).unwrap(), []);
    }
}

#[test]
fn a_session_has_bounds_on_what_it_remembers() {
    let mut talk = TestSession::connected("1.2");
    let too_many = (0..1_000).find_map(|id| {
        talk.say(&format!("SUBSCRIBE\nid:{id}\ndestination:/a\n\n\0"))
            .err()
    });
    assert_eq!(too_many, Some(ProtocolError::TooManySubscriptions));

    let mut talk = TestSession::connected("1.2");
    let too_many =
        (0..1_000).find_map(|name| talk.say(&format!("BEGIN\ntransaction:{name}\n\n\0")).err());
    assert_eq!(too_many, Some(ProtocolError::TransactionTooLarge));
}

#[test]
fn a_subscription_says_where_to_go_on_from_and_whether_it_wants_the_live_alerts() {
    let say = |extra: &str| {
        let mut talk = TestSession::connected("1.2");
        subscription(
            talk.say(&format!("SUBSCRIBE\nid:0\ndestination:/a\n{extra}\n\0"))
                .unwrap(),
        )
    };
    assert_eq!(
        say("resume-from:1.0.n.n\n").resume_from.as_deref(),
        Some("1.0.n.n")
    );
    assert_eq!(
        say("last-event-id:1.0.n.n\n").resume_from.as_deref(),
        Some("1.0.n.n")
    );
    assert!(say("").snapshot);
    assert!(!say("snapshot:false\n").snapshot);
}

#[test]
fn a_1_0_session_answers_without_escapes_and_heart_beats() {
    let mut talk = TestSession::before_connect();
    let connected = talk.answer("CONNECT\nheart-beat:nonsense\n\n\0").remove(0);
    assert_eq!(connected.headers.get("heart-beat"), None);

    let answer = talk
        .say("BEGIN\ntransaction: t\nreceipt: a:b\\c\n\n\0")
        .unwrap();

    let receipt = Frame::new(Command::Receipt).with("receipt-id", "a:b\\c");
    assert_eq!(answer, [Effect::Send(encode(&receipt, Version::V1_0))]);
    assert_eq!(
        encode(&receipt, Version::V1_0),
        b"RECEIPT\nreceipt-id:a:b\\c\n\n\0"
    );
}
