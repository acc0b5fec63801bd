//! The JSON bodies that residents' clients are sent. Keys are added over time, never renamed or retyped.

use serde_json::{Map, Value};

use crate::fold::AcceptStatus;
use crate::record::{put, put_position};
use crate::{AlertAccepted, AlertRaised, Position, Status};

/// Stands before the text of whatever is not real: clients of the original system know no `status`.
pub const DRILL_PREFIX: &str = "[훈련 DRILL] ";

/// Whether an alert's push may still say where the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionShown {
    /// The alert is live.
    WhileLive,
    /// It no longer is: helpers have no use for it, others might.
    NoLonger,
}

/// The STOMP header `type` of an alert's push.
pub const ALERT: &str = "alert";
/// The STOMP header `type` of an accept's push.
pub const ACCEPT: &str = "accept";

/// `{"type":"alert","line","house","text","lat","lng","id","at","status"}`, and what more is known of the position.
pub fn alert(alert: &AlertRaised, shown: PositionShown) -> Vec<u8> {
    let position: Option<&Position> = match shown {
        PositionShown::WhileLive => alert.position.as_ref(),
        PositionShown::NoLonger => None,
    };
    let mut object = Map::new();
    put(&mut object, "type", ALERT);
    put(&mut object, "line", alert.line.as_str());
    put(&mut object, "house", alert.house.as_str());
    put(
        &mut object,
        "text",
        &marked(alert.text.as_str(), alert.status),
    );
    put_position(&mut object, position);
    put(&mut object, "id", &alert.id.to_string());
    put(&mut object, "at", &alert.at.to_string());
    put(&mut object, "status", alert.status.as_str());
    Value::Object(object).to_string().into_bytes()
}

/// `{"type":"accept","line","accept","text","target","alertId","id","at","status","rank"}`. In an accept `text` is the
/// target house. `alertId` and `rank` are left out as long as they are not known.
pub fn accept(accept: &AlertAccepted, accept_status: AcceptStatus) -> Vec<u8> {
    let mut object = Map::new();
    put(&mut object, "type", ACCEPT);
    put(&mut object, "line", accept.line.as_str());
    put(&mut object, "accept", accept.responder.as_str());
    put(
        &mut object,
        "text",
        &marked(accept.target.as_str(), accept.status),
    );
    put(&mut object, "target", accept.target.as_str());
    if let Some(alert_id) = accept_status.alert_id {
        put(&mut object, "alertId", &alert_id.to_string());
    }
    put(&mut object, "id", &accept.id.to_string());
    put(&mut object, "at", &accept.at.to_string());
    put(&mut object, "status", accept.status.as_str());
    if let Some(rank) = accept_status.rank {
        object.insert("rank".to_owned(), rank.into());
    }
    Value::Object(object).to_string().into_bytes()
}

fn marked(text: &str, status: Status) -> String {
    match status {
        Status::Actual => text.to_owned(),
        Status::Exercise | Status::Test => format!("{DRILL_PREFIX}{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, House, Line, Text, Topic};

    fn id(offset: u64) -> EventId {
        EventId::Record(crate::RecordPosition {
            topic: Topic::Alert,
            partition: 0,
            offset,
        })
    }

    fn raised(status: Status) -> AlertRaised {
        let mut warnings = Vec::new();
        let position = serde_json::json!({"lat": "37.5", "lng": "127.0", "floor": "3"});
        AlertRaised {
            id: id(1),
            line: Line::new("demo").unwrap(),
            house: House::new("101").unwrap(),
            text: Text::new("불이야").0,
            position: Position::read(position.as_object().unwrap(), &mut warnings),
            at: "2026-11-20T06:00:00Z".parse().unwrap(),
            status,
            warnings,
        }
    }

    fn accepted(status: Status) -> AlertAccepted {
        AlertAccepted {
            seen: None,
            id: id(2),
            line: Line::new("demo").unwrap(),
            responder: House::new("102").unwrap(),
            target: House::new("101").unwrap(),
            alert_id: None,
            at: "2026-11-20T06:00:05Z".parse().unwrap(),
            status,
            warnings: vec![],
        }
    }

    fn text_of(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn the_push_of_an_alert_begins_with_the_original_contract() {
        let expected = concat!(
            r#"{"type":"alert","line":"demo","house":"101","text":"불이야","lat":"37.5","lng":"127.0","floor":"3","#,
            r#""id":"an-alert-0-1","at":"2026-11-20T06:00:00.000Z","status":"Actual"}"#
        );
        assert_eq!(
            text_of(alert(&raised(Status::Actual), PositionShown::WhileLive)),
            expected
        );
    }

    #[test]
    fn an_alert_that_is_no_longer_live_does_not_say_where() {
        let body = text_of(alert(&raised(Status::Actual), PositionShown::NoLonger));
        assert!(body.contains(r#""lat":"","lng":"","id""#), "{body}");
    }

    #[test]
    fn the_push_of_an_accept_has_its_alert_and_rank_as_soon_as_they_are_known() {
        let accept_status = AcceptStatus {
            alert_id: Some(id(1)),
            rank: Some(1),
        };
        let expected = concat!(
            r#"{"type":"accept","line":"demo","accept":"102","text":"101","target":"101","alertId":"an-alert-0-1","#,
            r#""id":"an-alert-0-2","at":"2026-11-20T06:00:05.000Z","status":"Actual","rank":1}"#
        );
        assert_eq!(
            text_of(accept(&accepted(Status::Actual), accept_status)),
            expected
        );

        let unbound = text_of(accept(&accepted(Status::Actual), AcceptStatus::default()));
        assert!(
            !unbound.contains("alertId") && !unbound.contains("rank"),
            "{unbound}"
        );
    }

    #[test]
    fn a_drill_is_marked_where_old_clients_look() {
        for status in [Status::Exercise, Status::Test] {
            let body = text_of(alert(&raised(status), PositionShown::WhileLive));
            assert!(body.contains(r#""text":"[훈련 DRILL] 불이야""#), "{body}");
            let body = text_of(accept(&accepted(status), AcceptStatus::default()));
            assert!(
                body.contains(r#""text":"[훈련 DRILL] 101","target":"101""#),
                "{body}"
            );
        }
    }
}
