//! What each part can do now: the body of `/readyz`, and what a start waits for.

use serde::Serialize;
use tokio::sync::watch;

use crate::disk_probe::DiskProblem;
use crate::log_supervisor::LogStage;

/// Whether a service can do its work now, or why not.
pub(crate) type ServiceReadiness = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What is asked at each request.
pub(crate) struct Readiness {
    pub(crate) log: watch::Receiver<LogStage>,
    pub(crate) disk: watch::Receiver<DiskProblem>,
    pub(crate) api: ServiceReadiness,
    pub(crate) gateway: ServiceReadiness,
}

/// The answer of `/readyz`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    ready: bool,
    /// What is missing, in one sentence; none where all is well.
    reason: Option<String>,
    log: ServiceReport,
    api: ServiceReport,
    gateway: ServiceReport,
    disk: ServiceReport,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ServiceReport {
    ready: bool,
    /// `leader` or `follower`, for the log alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl ServiceReport {
    fn of(part: Result<Option<&'static str>, String>) -> Self {
        let ready = part.is_ok();
        let (role, reason) = match part {
            Ok(role) => (role, None),
            Err(reason) => (None, Some(reason)),
        };
        Self {
            ready,
            role,
            reason,
        }
    }
}

impl Readiness {
    /// Ready is what every part says of itself: a call would be stored, an upgrade taken, this machine's log serves.
    pub(crate) fn report(&self) -> Report {
        let log = ServiceReport::of(self.log.borrow().get().map(Some));
        let api = ServiceReport::of((self.api)().map(|()| None));
        let gateway = ServiceReport::of((self.gateway)().map(|()| None));
        let disk = ServiceReport::of(self.disk.borrow().clone().map_or(Ok(None), Err));
        let parts = [
            ("the log", &log),
            ("the api", &api),
            ("the gateway", &gateway),
            ("the disk", &disk),
        ];
        let missing = parts
            .iter()
            .filter_map(|(name, part)| Some(format!("{name}: {}", part.reason.as_ref()?)));
        let reason = missing.collect::<Vec<_>>().join("; ");
        Report {
            ready: log.ready && api.ready && gateway.ready && disk.ready,
            reason: (!reason.is_empty()).then_some(reason),
            log,
            api,
            gateway,
            disk,
        }
    }
}

impl Report {
    /// Whether all is well.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Why not everything is ready.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readiness(api: Result<(), &'static str>, gateway: Result<(), &'static str>) -> Readiness {
        let stopped = LogStage::Stopped("no room".into());
        Readiness {
            log: watch::channel(stopped).1,
            disk: watch::channel(None).1,
            api: Box::new(move || api.map_err(str::to_owned)),
            gateway: Box::new(move || gateway.map_err(str::to_owned)),
        }
    }

    #[test]
    fn whatever_one_part_cannot_do_now_is_said_by_name_and_the_whole_is_not_ready() {
        let report = readiness(Ok(()), Err("it reads the log")).report();

        assert!(!report.ready);
        assert_eq!(
            report.reason(),
            Some("the log: no room; the gateway: it reads the log")
        );
        let told = serde_json::to_value(&report).unwrap();
        assert_eq!(told["api"], serde_json::json!({ "ready": true }));
        assert_eq!(
            told["gateway"],
            serde_json::json!({ "ready": false, "reason": "it reads the log" })
        );
    }
}
