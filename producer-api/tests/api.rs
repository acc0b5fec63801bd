//! The whole service over sockets, in front of a log: what is answered is what is stored.

mod support;

use std::{num::NonZeroU32, time::Duration};

use event_model::{Event, Line, PARTITIONS, Status, Topic, partition_for};
use resident_token::testing::{claims_of, expired, forgeries, good_tokens};
use serde_json::{Value, json};
use support::{
    HttpResponse, MockLog, TestApi, TestLog, accept_body, alert_body, config, get, now, read,
    read_answer, records, request, send, token, token_with, wall,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn an_alert_is_in_the_log_where_its_answer_says() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;

    let answer = api
        .alert(&token("dong-101", "1502"), alert_body("dong-101", "1502"))
        .await;

    let Event::Raised(alert) = read(&log.address(), answer.place()) else {
        panic!("not an alert")
    };
    assert_eq!(alert.id.to_string(), answer.id());
    assert_eq!(alert.at.to_string(), answer.json()["at"]);
    assert_eq!(alert.line.as_str(), "dong-101");
    assert_eq!(alert.house.as_str(), "1502");
    assert_eq!(alert.text.as_str(), "fire in the kitchen");
    let position = alert.position.unwrap();
    assert_eq!(
        (position.lat.as_str(), position.lng.as_str()),
        ("37.5665", "126.978")
    );
    assert_eq!(alert.status, Status::Actual);
    assert_eq!(answer.warnings(), [] as [&str; 0]);
    api.close().await;
}

#[tokio::test]
async fn an_accept_is_in_the_log_where_its_answer_says() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let alert = api
        .alert(&token("dong-101", "1502"), alert_body("dong-101", "1502"))
        .await;

    let body = json!({"line": "dong-101", "acceptHouse": "1503", "targetHouse": "1502", "alertId": alert.id()});
    let answer = api
        .accept(&token("dong-101", "1503"), body.to_string())
        .await;

    let Event::Accepted(accept) = read(&log.address(), answer.place()) else {
        panic!("not an accept")
    };
    assert_eq!(accept.id.to_string(), answer.id());
    assert_eq!(accept.responder.as_str(), "1503");
    assert_eq!(accept.target.as_str(), "1502");
    assert_eq!(accept.alert_id.unwrap().to_string(), alert.id());
    assert_eq!(answer.place().partition, alert.place().partition);
    api.close().await;
}

/// What was said, what is stored of it, and what the caller is told.
struct Degraded {
    body: &'static [u8],
    text: &'static str,
    warnings: &'static [&'static str],
}

const DEGRADED: &[Degraded] = &[
    Degraded {
        body: br#"{}"#,
        text: "",
        warnings: &["line_from_token", "house_from_token"],
    },
    Degraded {
        body: br#"{"line":null,"house":[],"text":"fire"}"#,
        text: "fire",
        warnings: &["line_from_token", "house_from_token"],
    },
    Degraded {
        body: br#"{"line":"a/b","house":"15\u000002","text":"fire"}"#,
        text: "fire",
        warnings: &["line_from_token", "house_from_token"],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":1502,"text":42}"#,
        text: "42",
        warnings: &["read_as_text"],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":true}"#,
        text: "true",
        warnings: &["read_as_text"],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":{"a":1}}"#,
        text: "",
        warnings: &["text_dropped"],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":null}"#,
        text: "",
        warnings: &[],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":"a\ud800b"}"#,
        text: "a\u{fffd}b",
        warnings: &["character_replaced"],
    },
    Degraded {
        body: b"{\"line\":\"dong-101\",\"house\":\"1502\",\"text\":\"a\xffb\"}",
        text: "a\u{fffd}b",
        warnings: &["character_replaced"],
    },
    Degraded {
        body: b"\xef\xbb\xbf{\"line\":\"dong-101\",\"house\":\"1502\",\"text\":\"fire\"}",
        text: "fire",
        warnings: &[],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":"one","text":"two"}"#,
        text: "two",
        warnings: &[],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":"fire","lat":"91","lng":"0"}"#,
        text: "fire",
        warnings: &["position_dropped"],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":"fire","lat":"37.5"}"#,
        text: "fire",
        warnings: &["position_dropped"],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":"fire","lat":"NaN","lng":"inf"}"#,
        text: "fire",
        warnings: &["position_dropped"],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":"fire","lat":1e999,"lng":0}"#,
        text: "fire",
        warnings: &["position_dropped"],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":"fire","status":"Practice"}"#,
        text: "fire",
        warnings: &["status_unknown"],
    },
    Degraded {
        body: br#"{"line":"dong-101","house":"1502","text":"fire","status":"Test"}"#,
        text: "fire",
        warnings: &["status_unknown"],
    },
    Degraded {
        body: br#"{"line":" dong-101 ","house":"1502","text":"fire","more":{"a":[1]}}"#,
        text: "fire",
        warnings: &[],
    },
    Degraded {
        body: "{\"line\":\"dong-101\",\"house\":\"１５０２\",\"text\":\"불이야\"}".as_bytes(),
        text: "불이야",
        warnings: &[],
    },
];

#[tokio::test]
async fn an_alert_is_taken_however_broken_it_comes_and_its_caller_is_told() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let token = token("dong-101", "1502");

    for Degraded {
        body,
        text,
        warnings,
    } in DEGRADED
    {
        let said = String::from_utf8_lossy(body);
        let answer = api.alert(&token, body).await;
        assert_eq!(answer.status, 201, "{said}");
        assert_eq!(answer.warnings(), *warnings, "{said}");
        let Event::Raised(alert) = read(&log.address(), answer.place()) else {
            panic!("not an alert")
        };
        assert_eq!(
            (alert.line.as_str(), alert.house.as_str()),
            ("dong-101", "1502"),
            "{said}"
        );
        assert_eq!(alert.text.as_str(), *text, "{said}");
    }
    api.close().await;
}

#[tokio::test]
async fn a_text_too_long_is_cut_and_taken() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let body = json!({"line": "dong-101", "house": "1502", "text": "불".repeat(3000)}).to_string();

    let answer = api.alert(&token("dong-101", "1502"), body).await;

    assert_eq!(answer.warnings(), ["text_cut"]);
    let Event::Raised(alert) = read(&log.address(), answer.place()) else {
        panic!("not an alert")
    };
    assert_eq!(alert.text.as_str().chars().count(), 500);
    api.close().await;
}

#[tokio::test]
async fn any_content_type_will_do_for_an_alert_and_only_json_for_an_accept() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let (caller, neighbour) = (token("dong-101", "1502"), token("dong-101", "1503"));
    let body = accept_body("dong-101", "1503", "1502");

    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "nonsense",
        "",
    ] {
        let headers = [("content-type", content_type)];
        assert_eq!(
            api.post_with("/alert", &caller, &headers, alert_body("dong-101", "1502"))
                .await
                .status,
            201
        );
        let refused = api.post_with("/accept", &neighbour, &headers, &body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (415, "unsupported_media_type")
        );
    }
    for content_type in [
        "application/json",
        "APPLICATION/JSON; charset=utf-8",
        "application/vnd.x+json",
    ] {
        let headers = [("content-type", content_type)];
        assert_eq!(
            api.post_with("/accept", &neighbour, &headers, &body)
                .await
                .status,
            201,
            "{content_type}"
        );
    }
    api.close().await;
}

#[tokio::test]
async fn nonsense_is_a_call_for_help_and_no_accept() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let token = token("dong-101", "1502");
    let deep = "[".repeat(5000);
    let nonsense: [&[u8]; 12] = [
        b"",
        b" ",
        b"help",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"\"help\"",
        b"{\"a\":1}}",
        b"\x00\x01",
        b"{\"text\":\"\x00\"}",
        deep.as_bytes(),
    ];

    for body in nonsense {
        let taken = api.alert(&token, body).await;
        assert_eq!(taken.status, 201, "{body:?}");
        assert!(
            taken.warnings().contains(&"body_unreadable".to_owned()),
            "{body:?}"
        );
        let refused = api.accept(&token, body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "invalid_json"),
            "{body:?}"
        );
        assert_eq!(refused.json()["retryable"], false);
    }
    assert_eq!(
        records(&log.address()),
        i64::try_from(nonsense.len()).unwrap()
    );
    api.close().await;
}

#[tokio::test]
async fn whatever_a_verified_caller_sends_is_a_call_with_what_can_be_read_of_it() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let token = token("dong-101", "1502");
    let long = format!("{{\"text\":\"fire\",\"more\":\"{}\"}}", "x".repeat(60_000));
    // Each with what is read of its text, and whether its position is.
    let broken: [(&[u8], &str, bool); 9] = [
        (
            b"{\"text\":\"fire\",\"lat\":NaN,\"lng\":127}",
            "fire",
            false,
        ),
        (
            b"{\"text\":\"fire\",\"lat\":37.5,\"lng\":127}\0",
            "fire",
            true,
        ),
        (
            b"{\"text\":\"fire\nhelp\",\"lat\":37.5,\"lng\":127}",
            "fire\nhelp",
            true,
        ),
        (
            b"{\"line\":\"dong-101\",\"text\":\"fire in the ki",
            "fire in the ki",
            false,
        ),
        (b"{\"text\":\"fire\",\"house\":\"15", "fire", false),
        (b"fire in the kitchen", "fire in the kitchen", false),
        (b"\xff\xfe\x00", "", false),
        (b"", "", false),
        (long.as_bytes(), "fire", false),
    ];

    for (body, text, has_position) in broken {
        let answer = api.alert(&token, body).await;

        let warned = answer.warnings().contains(&"body_unreadable".to_owned());
        assert!(warned, "{body:?}");
        let Event::Raised(alert) = read(&log.address(), answer.place()) else {
            panic!("an alert is in its topic")
        };
        assert_eq!(
            (alert.line.as_str(), alert.house.as_str()),
            ("dong-101", "1502")
        );
        assert_eq!(alert.text.as_str(), text, "{body:?}");
        assert_eq!(alert.position.is_some(), has_position, "{body:?}");
        assert!(
            alert
                .warnings
                .contains(&event_model::Warning::BodyUnreadable)
        );
    }

    let slash = api.post("/alert/", &token, "{}").await;
    assert_eq!(
        (slash.status, slash.warnings().len()),
        (201, 2),
        "the names were left out"
    );
    let plain = api
        .post_with(
            "/alert",
            &token,
            &[("content-type", "text/plain")],
            r#"{"text":"fire"}"#,
        )
        .await;
    assert!(plain.warnings().contains(&"content_type".to_owned()));
    api.close().await;
}

#[tokio::test]
async fn a_key_covers_the_bytes_of_a_body_that_cannot_be_read() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let token = token("dong-101", "1502");
    let key = [("idempotency-key", "0123456789abcdef")];
    let call = async |body: &'static [u8]| api.post_with("/alert", &token, &key, body).await;

    let first = call(b"\xff\x01").await;
    let again = call(b"\xff\x01").await;
    let other = call(b"\xff\x02").await;

    assert_eq!((first.place(), first.id()), (again.place(), again.id()));
    assert_eq!(again.headers["idempotent-replay"], "true");
    assert_ne!(first.id(), other.id());
    api.close().await;
}

#[tokio::test]
async fn an_accept_with_missing_or_unusable_fields_is_told_each_of_them() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let token = token("dong-101", "1503");
    let refused = async |body: Value| {
        let answer = api.accept(&token, body.to_string()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (422, "validation"),
            "{body}"
        );
        let json = answer.json();
        let errors = json["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    assert_eq!(
        refused(json!({})).await,
        ["/line", "/acceptHouse", "/targetHouse"]
    );
    assert_eq!(
        refused(json!({"line": "dong-101", "acceptHouse": "1503"})).await,
        ["/targetHouse"]
    );
    assert_eq!(
        refused(json!({"line": "dong-101", "acceptHouse": "15/03", "targetHouse": ["1502"]})).await,
        ["/acceptHouse", "/targetHouse"]
    );
    // One's own alert, in another spelling.
    let own = json!({"line": "dong-101", "acceptHouse": "1503", "targetHouse": "１５０３"});
    assert_eq!(refused(own).await, ["/targetHouse"]);
    assert_eq!(records(&log.address()), 0);
    api.close().await;
}

#[tokio::test]
async fn no_forged_token_and_no_token_of_another_house_stores_anything() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let alert = alert_body("dong-101", "1502");
    let accept = accept_body("dong-101", "1502", "1503");
    let paths = [("/alert", &alert), ("/accept", &accept)];
    let claims = claims_of("dong-101", "1502", wall());

    for (path, body) in paths {
        for forgery in forgeries(&claims, wall()) {
            let refused = api.post(path, &forgery.token, body).await;
            // A token longer than a head may be is refused before it is one.
            if refused.status != 431 {
                assert_eq!(refused.status, 401, "{}", forgery.name);
                assert_eq!(refused.code(), forgery.code.as_str(), "{}", forgery.name);
            }
        }
        for (house, code) in [("1503", "house_mismatch"), ("15022", "house_mismatch")] {
            let refused = api.post(path, &token("dong-101", house), body).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (403, code),
                "{path}"
            );
        }
        for (line, code) in [("dong-102", "line_mismatch"), ("Dong-101", "line_mismatch")] {
            let refused = api.post(path, &token(line, "1502"), body).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (403, code),
                "{path}"
            );
        }
        let operator = token_with("dong-101", "1502", "roles", json!(["operator"]));
        assert_eq!(
            api.post(path, &operator, body).await.status,
            201,
            "who has a house may call from it"
        );
        let houseless = [
            json!({"roles": ["operator"]}),
            json!({"roles": ["admin"], "line": "dong-101"}),
        ];
        for mut claims in houseless {
            claims["sub"] = json!("o");
            claims["exp"] = json!(wall().as_second() + 60);
            let refused = api
                .post(
                    path,
                    &resident_token::testing::sign_with_secret(&claims),
                    body,
                )
                .await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (403, "role_missing")
            );
        }
    }
    assert_eq!(
        records(&log.address()),
        2,
        "only the two of the operator with a house"
    );
    api.close().await;
}

#[tokio::test]
async fn a_request_without_one_clear_token_in_its_header_is_refused() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let good = token("dong-101", "1502");
    let bearer = format!("Bearer {good}");
    let body = alert_body("dong-101", "1502");
    let code = async |path: &str, headers: &[(&str, &str)]| {
        let refused = request(api.address, "POST", path, headers, body.as_bytes()).await;
        assert_eq!(refused.status, 401, "{path} {headers:?}");
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
        refused.code()
    };

    assert_eq!(code("/alert", &[]).await, "token_missing");
    assert_eq!(
        code("/alert", &[("authorization", "")]).await,
        "token_missing"
    );
    assert_eq!(
        code("/alert", &[("authorization", "Basic eDp5")]).await,
        "token_invalid"
    );
    assert_eq!(
        code("/alert", &[("authorization", &good)]).await,
        "token_invalid"
    );
    assert_eq!(
        code(
            "/alert",
            &[("authorization", &bearer), ("authorization", &bearer)]
        )
        .await,
        "token_invalid"
    );
    assert_eq!(
        code("/alert", &[("cookie", &format!("token={good}"))]).await,
        "token_missing"
    );
    assert_eq!(
        code(&format!("/alert?access_token={good}"), &[]).await,
        "token_in_url"
    );
    // Even beside a good header: the one in the URL has been seen by then.
    assert_eq!(
        code(&format!("/alert?x={good}"), &[("authorization", &bearer)]).await,
        "token_in_url"
    );
    assert_eq!(
        code("/accept?token=x", &[("authorization", &bearer)]).await,
        "token_in_url"
    );
    let late = format!(
        "Bearer {}",
        expired(&claims_of("dong-101", "1502", wall()), wall())
    );
    assert_eq!(
        code("/alert", &[("authorization", &late)]).await,
        "token_expired"
    );
    assert_eq!(records(&log.address()), 0);
    api.close().await;
}

#[tokio::test]
async fn a_token_under_each_kind_of_key_may_call() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;

    for token in good_tokens(&claims_of("dong-101", "1502", wall())) {
        assert_eq!(
            api.alert(&token, alert_body("dong-101", "1502"))
                .await
                .status,
            201
        );
    }
    api.close().await;
}

#[tokio::test]
async fn a_drill_is_stored_as_one_and_a_canarys_call_as_a_test() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let status = |answer: &HttpResponse| read(&log.address(), answer.place()).status();

    let drill = api
        .alert(&token("dong-101", "1502"), r#"{"status":"Exercise"}"#)
        .await;
    let canary = token_with("__canary", "__1", "roles", json!(["canary"]));
    let test = api.alert(&canary, "{}").await;

    assert_eq!(status(&drill), Status::Exercise);
    assert_eq!(status(&test), Status::Test);
    api.close().await;
}

#[tokio::test]
async fn every_line_reaches_the_partition_that_its_readers_expect() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;

    for line in [
        "a",
        "dong-101",
        "래미안 1단지",
        "x".repeat(64).as_str(),
        "21",
        "é",
        "123456789",
    ] {
        let answer = api.alert(&token(line, "1"), "{}").await;
        assert_eq!(
            answer.place().partition,
            partition_for(&Line::new(line).unwrap(), PARTITIONS),
            "{line}"
        );
    }
    api.close().await;
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_by_its_length_and_by_its_bytes() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let token = token("dong-101", "1503");
    let text = |length: usize| format!("{{\"text\":\"{}\"}}", "x".repeat(length - 11));
    let too_large = |refused: &HttpResponse| {
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (413, "body_too_large")
        );
    };

    let read = api.alert(&token, text(16 * 1024)).await;
    assert!(!read.warnings().contains(&"body_unreadable".to_owned()));
    assert_eq!(api.alert(&token, text(64 * 1024)).await.status, 201);
    too_large(&api.alert(&token, text(64 * 1024 + 1)).await);
    assert_eq!(api.accept(&token, text(16 * 1024)).await.status, 422);
    too_large(&api.accept(&token, text(16 * 1024 + 1)).await);

    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let head = format!(
        "POST /alert HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let body = chunk.repeat(5);
    too_large(&send(api.address, format!("{head}{body}0\r\n\r\n").as_bytes()).await);
    api.close().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_a_call_for_help_and_no_accept() {
    let log = TestLog::start().await;
    let mut config = config(&log.address());
    config.body_timeout = Duration::from_millis(100);
    let api = TestApi::open(config).await;
    let token = token("dong-101", "1502");
    let half = async |path: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n"
        );
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        let sent = format!("{head}{{\"text\":\"fire");
        stream.write_all(sent.as_bytes()).await.unwrap();
        read_answer(stream).await
    };

    let taken = half("/alert").await;
    let Event::Raised(alert) = read(&log.address(), taken.place()) else {
        panic!("an alert is in its topic")
    };
    assert_eq!(alert.text.as_str(), "fire");

    let refused = half("/accept").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (408, "body_timeout")
    );
    assert_eq!(refused.json()["retryable"], true);
    api.close().await;
}

#[tokio::test]
async fn a_retry_under_the_same_key_is_told_where_the_first_call_is() {
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    let token = token("dong-101", "1502");
    let alert = async |key: &str, body: &str| {
        api.post_with("/alert", &token, &[("idempotency-key", key)], body)
            .await
    };
    let key = "0123456789abcdef";

    let first = alert(key, r#"{"text":"fire","lat":"1","lng":"2"}"#).await;
    let retry = alert(
        &format!("\"{key}\""),
        r#"{"text":"fire","lat":"1.5","lng":"2.5"}"#,
    )
    .await;
    let other_text = alert(key, r#"{"text":"flood"}"#).await;
    let other_key = alert("fedcba9876543210", r#"{"text":"fire"}"#).await;

    assert_eq!(first.headers.get("idempotent-replay"), None);
    assert_eq!(retry.headers["idempotent-replay"], "true");
    assert_eq!((retry.id(), retry.place()), (first.id(), first.place()));
    assert_ne!(other_text.id(), first.id());
    assert_ne!(other_key.id(), first.id());
    assert_eq!(records(&log.address()), 3);
    assert_eq!(first.id().as_bytes()[14], b'8', "a derived id is a UUIDv8");
    api.close().await;
}

#[tokio::test]
async fn the_same_key_gives_the_same_id_at_another_instance_and_another_one_to_another_house() {
    let log = TestLog::start().await;
    let (one, other) = (
        TestApi::open(config(&log.address())).await,
        TestApi::open(config(&log.address())).await,
    );
    let key = [("idempotency-key", "0123456789abcdef")];
    let kim = token("dong-101", "1502");

    let first = one
        .post_with("/alert", &kim, &key, r#"{"text":"fire"}"#)
        .await;
    let elsewhere = other
        .post_with("/alert", &kim, &key, r#"{"text":"fire"}"#)
        .await;
    let lee = one
        .post_with(
            "/alert",
            &token("dong-101", "1503"),
            &key,
            r#"{"text":"fire"}"#,
        )
        .await;

    assert_eq!(first.id(), elsewhere.id());
    assert_ne!(first.id(), lee.id());
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_retry_while_the_first_is_on_its_way_waits_for_it() {
    let log = MockLog::start();
    let api = TestApi::open(config(&log.address())).await;
    log.0
        .broker_round_trip_time(-1, Duration::from_millis(200))
        .unwrap();
    let token = token("dong-101", "1502");
    let key = [("idempotency-key", "0123456789abcdef")];
    let alert = || api.post_with("/alert", &token, &key, r#"{"text":"fire"}"#);

    let (one, two, three) = tokio::join!(alert(), alert(), alert());

    let replays = [&one, &two, &three]
        .iter()
        .filter(|answer| answer.headers.contains_key("idempotent-replay"))
        .count();
    assert_eq!(replays, 2);
    assert_eq!(one.place(), two.place());
    assert_eq!(two.place(), three.place());
    api.close().await;
}

#[tokio::test]
async fn a_key_used_for_another_accept_is_refused_and_one_that_is_none_only_warned_of_on_an_alert()
{
    let log = TestLog::start().await;
    let api = TestApi::open(config(&log.address())).await;
    api.wait_until_keys_are_known().await;
    let token = token("dong-101", "1503");
    let accept = async |key: &str, target: &str| {
        api.post_with(
            "/accept",
            &token,
            &[("idempotency-key", key)],
            accept_body("dong-101", "1503", target),
        )
        .await
    };

    assert_eq!(accept("0123456789abcdef", "1502").await.status, 201);
    let reused = accept("0123456789abcdef", "1504").await;
    assert_eq!(
        (reused.status, reused.code().as_str()),
        (422, "idempotency_key_reused")
    );
    for bad in [
        "short",
        "with spaces in the key",
        &"x".repeat(65),
        "\"0123456789abcdef",
        "",
    ] {
        let refused = accept(bad, "1502").await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, "validation"),
            "{bad:?}"
        );
        let taken = api
            .post_with(
                "/alert",
                &token,
                &[("idempotency-key", bad)],
                alert_body("dong-101", "1503"),
            )
            .await;
        assert_eq!(taken.warnings(), ["idempotency_key_ignored"], "{bad:?}");
    }
    api.close().await;
}

#[tokio::test]
async fn a_house_may_call_five_times_at_once_and_its_neighbour_still_may() {
    let log = TestLog::start().await;
    let mut config = config(&log.address());
    config.house_limit = producer_api::HouseLimit::default();
    let api = TestApi::open(config).await;
    let (kim, lee) = (token("dong-101", "1502"), token("dong-101", "1503"));
    for _ in 0..5 {
        assert_eq!(api.alert(&kim, "{}").await.status, 201);
    }

    let refused = api.alert(&kim, "{}").await;

    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limited")
    );
    let retry_after: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=20).contains(&retry_after), "{retry_after}");
    assert_eq!(api.alert(&lee, "{}").await.status, 201);
    assert_eq!(
        api.accept(&kim, accept_body("dong-101", "1502", "1503"))
            .await
            .status,
        201
    );
    api.close().await;
}

#[tokio::test]
async fn calls_that_were_not_stored_do_not_count_against_their_house() {
    let mut config = config("127.0.0.1:9");
    config.house_limit = producer_api::HouseLimit::default();
    config.deadline = Duration::from_millis(500);
    let api = TestApi::start(config).await;
    let kim = token("dong-101", "1502");

    for _ in 0..7 {
        assert_eq!(api.alert(&kim, "{}").await.status, 503);
    }
    api.close().await;
}

#[tokio::test]
async fn requests_without_a_good_token_are_limited_by_address_and_silence_nobody_behind_it() {
    let log = TestLog::start().await;
    let mut config = config(&log.address());
    config.address_unverified_max = NonZeroU32::new(3);
    let api = TestApi::open(config).await;
    let good = token("dong-101", "1502");
    for _ in 0..10 {
        assert_eq!(
            api.alert(&good, "{}").await.status,
            201,
            "verified calls are never counted"
        );
    }

    for _ in 0..3 {
        assert_eq!(api.alert("nonsense", "{}").await.status, 401);
    }
    for _ in 0..4 {
        assert_eq!(api.alert("nonsense", "{}").await.status, 429);
    }
    assert_eq!(
        api.alert(&token("dong-101", "1503"), "{}").await.status,
        201,
        "a good call from the same address is taken all the same"
    );

    let refused = api.alert("nonsense", "{}").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limited")
    );
    assert!(refused.headers.contains_key("retry-after"));
    api.close().await;
}

#[tokio::test]
async fn without_a_log_a_call_is_refused_within_its_deadline_and_at_once_when_that_is_known() {
    let api = TestApi::start(config("127.0.0.1:9")).await;
    let token = token("dong-101", "1502");
    assert_eq!(get(api.address, "/healthz").await.status, 200);
    assert_eq!(get(api.address, "/readyz").await.status, 503);

    let started = now();
    let refused = api.alert(&token, "{}").await;
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "the deadline is 2 s"
    );
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "log_unavailable")
    );
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.json()["retryable"], true);
    assert_eq!(
        refused.json().get("id"),
        None,
        "nothing was stored, so there is nothing to look for"
    );

    let mut waits = Vec::new();
    while waits
        .last()
        .is_none_or(|wait| Duration::from_millis(200) < *wait)
    {
        assert!(
            waits.len() < 20,
            "the log is known to be gone by now: {waits:?}"
        );
        let started = now();
        assert_eq!(api.alert(&token, "{}").await.status, 503);
        waits.push(started.elapsed());
    }
    api.close().await;
}

#[tokio::test]
async fn a_log_that_goes_and_comes_back_is_noticed_without_a_restart() {
    let log = MockLog::start();
    let api = TestApi::open(config(&log.address())).await;
    let token = token("dong-101", "1502");

    log.0.broker_down(1).unwrap();
    api.wait_for_readiness(503).await;
    assert_eq!(api.alert(&token, "{}").await.status, 503);
    log.0.broker_up(1).unwrap();
    api.wait_for_readiness(200).await;

    assert_eq!(api.alert(&token, "{}").await.status, 201);
    api.close().await;
}

#[tokio::test]
async fn an_accept_that_is_stuck_does_not_hold_an_alert_up() {
    let log = MockLog::start();
    let mut config = config(&log.address());
    config.accepts_in_flight_max = 1;
    let api = TestApi::open(config).await;
    log.0
        .broker_round_trip_time(-1, Duration::from_millis(300))
        .unwrap();
    let (kim, lee) = (token("dong-101", "1502"), token("dong-101", "1503"));
    let order = std::sync::Mutex::new(Vec::new());

    let accept = async || {
        let answer = api
            .accept(&lee, accept_body("dong-101", "1503", "1502"))
            .await;
        order.lock().unwrap().push("accept");
        answer.status
    };
    let alert = async || {
        let answer = api.alert(&kim, "{}").await;
        order.lock().unwrap().push("alert");
        answer.status
    };
    let statuses = tokio::join!(accept(), accept(), accept(), accept(), alert());

    assert_eq!(statuses.4, 201);
    let place = order
        .lock()
        .unwrap()
        .iter()
        .position(|kind| *kind == "alert")
        .unwrap();
    assert!(
        place <= 1,
        "accepts go one by one, the alert beside the first: {:?}",
        order.lock().unwrap()
    );
    api.close().await;
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_call_and_another_may_not() {
    let log = TestLog::start().await;
    let mut config = config(&log.address());
    config.allowed_origins = vec!["https://calls.example".to_owned()];
    let api = TestApi::open(config).await;
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type,idempotency-key,traceparent,tracestate",
            ),
        ];
        request(api.address, "OPTIONS", "/alert", &headers, b"").await
    };

    let allowed = preflight("https://calls.example").await;
    assert_eq!(
        allowed.headers["access-control-allow-origin"],
        "https://calls.example"
    );
    assert_eq!(
        allowed.headers["access-control-allow-headers"],
        "authorization,content-type,idempotency-key,traceparent,tracestate"
    );
    assert!(
        !allowed
            .headers
            .contains_key("access-control-allow-credentials")
    );
    let refused = preflight("https://evil.example").await;
    assert!(
        !refused.headers.contains_key("access-control-allow-origin"),
        "{refused:?}"
    );

    let origin = [("origin", "https://calls.example")];
    for (token, status) in [
        (token("dong-101", "1502"), 201),
        ("nonsense".to_owned(), 401),
    ] {
        let answer = api.post_with("/alert", &token, &origin, "{}").await;
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.headers["access-control-allow-origin"],
            "https://calls.example"
        );
        assert_eq!(
            answer.headers["access-control-expose-headers"],
            "retry-after,idempotent-replay"
        );
    }
    api.close().await;
}

#[tokio::test]
async fn an_address_that_is_none_and_a_method_that_is_wrong_are_said_in_the_same_words() {
    let api = TestApi::start(config("127.0.0.1:9")).await;

    let nothing = get(api.address, "/alerts").await;
    let wrong = get(api.address, "/alert").await;

    assert_eq!(
        (nothing.status, nothing.code().as_str()),
        (404, "not_found")
    );
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (405, "method_not_allowed")
    );
    api.close().await;
}

#[tokio::test]
async fn calls_under_way_get_their_answer_when_the_service_stops() {
    let log = MockLog::start();
    let api = TestApi::open(config(&log.address())).await;
    log.0
        .broker_round_trip_time(-1, Duration::from_millis(300))
        .unwrap();
    let token = token("dong-101", "1502");
    let head = format!(
        "POST /alert HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    );
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // The service asks for the body: the call is under way.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    api.stop();
    stream.write_all(b"{}").await.unwrap();
    let answer = read_answer(stream).await;

    assert_eq!(answer.status, 201);
    assert_eq!(answer.place().topic, Topic::Alert);
    api.close().await;
    assert_eq!(records(&log.address()), 1);
}
