//! What a person can do about a start that fails, by what the system says: advice about a port helps no operator whose disk is
//! full.

use std::error::Error as StdError;
use std::io;

use journal::FolderLockError;
use log_core::StartError;

/// EMFILE: this process has as many open files as it may.
const FILES_OF_PROCESS: i32 = 24;
/// ENFILE: the machine has.
const FILES_OF_MACHINE: i32 = 23;
/// EDQUOT: this user's share of the disk is used up.
const QUOTA: i32 = 122;
/// EIO: the disk failed.
const DISK_FAILED: i32 = 5;

/// Why something does not start, with the advice for that.
pub(crate) fn with_advice(
    error: impl StdError + Send + Sync + 'static,
    what: &str,
    port_flag: &str,
) -> anyhow::Error {
    let advice = advice(&error, port_flag);
    let context = match advice {
        Some(advice) => format!("{what} does not start ({advice})"),
        None => format!("{what} does not start"),
    };
    anyhow::Error::new(error).context(context)
}

/// Whether the same start may succeed later without another setting: the disk has room again, files are closed.
pub(crate) fn may_pass(error: &StartError) -> bool {
    match error {
        StartError::Ended | StartError::Stopped(_) => true,
        StartError::Settings { .. }
        | StartError::InsecureAddress { .. }
        | StartError::NoPeers { .. }
        | StartError::NotListening { .. } => false,
        StartError::Listen { .. }
        | StartError::AdminListen { .. }
        | StartError::PeerListen { .. }
        | StartError::Node(_) => system_cause(error).is_some_and(is_of_the_moment),
    }
}

fn is_of_the_moment(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock
    ) || matches!(
        cause.raw_os_error(),
        Some(FILES_OF_PROCESS | FILES_OF_MACHINE | QUOTA | DISK_FAILED)
    )
}

fn advice(error: &(dyn StdError + 'static), port_flag: &str) -> Option<String> {
    if anyhow::Chain::new(error).any(is_folder_in_use) {
        return Some("--data chooses another folder".to_owned());
    }
    let cause = system_cause(error)?;
    Some(match cause.kind() {
        io::ErrorKind::AddrInUse => format!("{port_flag} chooses another port"),
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: --host and --peers say where to listen"
                .to_owned()
        }
        io::ErrorKind::StorageFull => "make room on the disk of the data folder".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => {
            "--data chooses another folder".to_owned()
        }
        io::ErrorKind::PermissionDenied if is_about_listening(error) => {
            format!(
                "ports below 1024 need rights that this user lacks: {port_flag} chooses another port"
            )
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not use the data folder: --data chooses another one".to_owned()
        }
        io::ErrorKind::WouldBlock => {
            "the system gives no more threads: raise the limit (ulimit -u, TasksMax= of systemd)"
                .to_owned()
        }
        _ => match cause.raw_os_error()? {
            FILES_OF_PROCESS => {
                "too many files are open: raise the limit (ulimit -n, LimitNOFILE= of systemd)"
                    .to_owned()
            }
            FILES_OF_MACHINE => {
                "the machine has too many files open: raise its limit (sysctl fs.file-max)"
                    .to_owned()
            }
            QUOTA => "this user's share of the data folder's disk is used up: make room".to_owned(),
            DISK_FAILED => "the data folder's disk fails: look at the system's log".to_owned(),
            _ => return None,
        },
    })
}

fn is_folder_in_use(cause: &(dyn StdError + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(FolderLockError::InUse { .. }))
}

fn is_about_listening(error: &(dyn StdError + 'static)) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            StartError::Listen { .. }
                | StartError::AdminListen { .. }
                | StartError::PeerListen { .. }
        )
    ) || matches!(
        error.downcast_ref(),
        Some(producer_api::Error::Listen { .. })
    ) || matches!(error.downcast_ref(), Some(ws_gateway::Error::Listen { .. }))
        || error.is::<AdminListen>()
}

/// The operator's address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}")]
pub(crate) struct AdminListen {
    pub(crate) address: std::net::SocketAddr,
    #[source]
    pub(crate) source: io::Error,
}

/// What the system said, beneath everything.
fn system_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    anyhow::Chain::new(error).find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(source: io::Error) -> StartError {
        StartError::Listen {
            address: "127.0.0.1:9092".parse().unwrap(),
            source,
        }
    }

    fn folder(source: io::Error) -> StartError {
        StartError::Node(log_core::NodeError::Folder {
            path: "/data/log".into(),
            source,
        })
    }

    fn said(error: StartError) -> String {
        with_advice(error, "the log", "--log-port").to_string()
    }

    #[test]
    fn each_fault_is_answered_with_the_advice_for_that_fault() {
        let taken = said(listen(io::ErrorKind::AddrInUse.into()));
        assert!(taken.contains("--log-port chooses"), "{taken}");
        let files = said(listen(io::Error::from_raw_os_error(FILES_OF_PROCESS)));
        assert!(
            files.contains("ulimit -n") && !files.contains("--log-port"),
            "{files}"
        );
        let low = said(listen(io::ErrorKind::PermissionDenied.into()));
        assert!(low.contains("below 1024"), "{low}");
        let full = said(folder(io::ErrorKind::StorageFull.into()));
        assert!(
            full.contains("make room") && !full.contains("--data"),
            "{full}"
        );
        let closed = said(folder(io::ErrorKind::PermissionDenied.into()));
        assert!(closed.contains("--data"), "{closed}");
    }

    #[test]
    fn only_what_may_pass_by_itself_is_waited_for() {
        for raw in [FILES_OF_PROCESS, FILES_OF_MACHINE, QUOTA, DISK_FAILED] {
            assert!(may_pass(&folder(io::Error::from_raw_os_error(raw))));
        }
        assert!(may_pass(&folder(io::ErrorKind::StorageFull.into())));
        assert!(may_pass(&listen(io::Error::from_raw_os_error(
            FILES_OF_PROCESS
        ))));
        assert!(!may_pass(&listen(io::ErrorKind::AddrInUse.into())));
        assert!(!may_pass(&folder(io::ErrorKind::PermissionDenied.into())));
        assert!(!may_pass(&StartError::Settings { mistakes: vec![] }));
    }
}
