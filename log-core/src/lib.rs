//! The replicated log: one journal that is synced before anything is acknowledged, one state machine that every replica
//! applies alike, and Kafka's protocol at the door. A node is a [`Broker`] on a data folder: one alone is a cluster, three
//! or five form one and go on without the minority. Clients, also those in the same process, speak to its port.
//!
//! A log in this process:
//!
//! ```
//! use log_core::{Broker, Config};
//! # let folder = tempfile::tempdir()?;
//! # let data = folder.path();
//! # tokio::runtime::Runtime::new()?.block_on(async {
//!
//! let mut config = Config::on(data);
//! config.listen = "127.0.0.1:0".parse()?; // any free port
//! let broker = Broker::start(config).await?;
//! println!("Kafka clients connect to {}", broker.address());
//! broker.shutdown().await?; // what is under way is answered, and the folder is free
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One of three nodes. Each is told the same list and the same secret; [`Broker::start`] returns once they have found each
//! other and one leads:
//!
//! ```
//! use log_core::{Config, Peer, PeerSecret, ids::NodeId};
//!
//! let mut config = Config::on("/var/lib/log");
//! config.node_id = NodeId(2);
//! config.peer_listen = Some("10.0.0.2:9093".parse()?);
//! config.peer_secret = Some(PeerSecret::new(b"at least sixteen bytes")?);
//! for peer in ["1@10.0.0.1:9093", "2@10.0.0.2:9093", "3@10.0.0.3:9093"] {
//!     config.peers.push(peer.parse::<Peer>()?);
//! }
//! assert!(config.mistakes().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A folder that no process uses can be looked at ([`offline`]):
//!
//! ```
//! use log_core::offline::{SystemDisk, verify};
//! # let folder = tempfile::tempdir()?;
//! # let data = folder.path();
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let mut config = log_core::Config::on(data);
//! # config.listen = "127.0.0.1:0".parse()?;
//! # log_core::Broker::start(config).await?.shutdown().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//!
//! let report = verify(&SystemDisk, data);
//! assert!(report.is_sound(), "{:?}", report.findings);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The rooms
//!
//! From the top; each leans only on those below it, which the test `floor_plan` holds. What is not in bold is private.
//!
//! | Room | What it does |
//! | --- | --- |
//! | **`cli`**, **`tools`** | the binary, and the operator's commands over the socket (feature `cli`) |
//! | **`offline`** | verify, compare, back up and restore a folder at rest |
//! | `broker` | tasks, sockets, timers: runs the node, answers clients, talks to the other nodes |
//! | `node` | one node without threads or sockets: inputs in, effects out |
//! | `storage` | entries in the journal, partitions, checkpoints, snapshots, recovery |
//! | `state`, `group`, `consensus` | decide: topics and records; consumer groups; what to persist and send, in which order |
//! | `wire` | Kafka's frames and requests |
//! | **`ids`**, **`record`**, `entry` | values: what the protocol counts in, record batches, entries of the journal |
//! | **`testing`** | whole clusters in one thread from a seed, what fuzzers and wire tests look at (feature `testing`) |

#![allow(
    unreachable_pub,
    reason = "in a private room `pub` means: for the other rooms; what leaves the crate stands on this page"
)]
#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        unused_imports,
        reason = "what only the tools use; whether they do is seen where they are built"
    )
)]

mod broker;
#[cfg(feature = "cli")]
pub mod cli;
mod consensus;
mod entry;
mod group;
pub mod ids;
mod node;
pub mod offline;
pub mod record;
mod state;
mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(feature = "cli")]
pub mod tools;
mod wire;

pub use broker::peers::{Peer, PeerSecret, SecretTooShort};
pub use broker::{Advertised, Broker, BrokerStopped, Config, NodeError, Readiness, StartError};
pub use group::GroupConfig;
pub use storage::StorageConfig;
