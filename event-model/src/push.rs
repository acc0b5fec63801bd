//! The JSON bodies that residents' clients are sent. Keys are added over time, never renamed or retyped.

use serde_json::{Map, Value};

use crate::fold::Standing;
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
pub fn accept(accept: &AlertAccepted, standing: Standing) -> Vec<u8> {
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
    if let Some(alert_id) = standing.alert_id {
        put(&mut object, "alertId", &alert_id.to_string());
    }
    put(&mut object, "id", &accept.id.to_string());
    put(&mut object, "at", &accept.at.to_string());
    put(&mut object, "status", accept.status.as_str());
    if let Some(rank) = standing.rank {
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
