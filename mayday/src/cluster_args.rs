//! Several machines that keep one log together: what the log must be told so that this one is found among them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use log_core::ids::NodeId;
use log_core::{Advertised, Config, Peer, PeerSecret, SecretTooShort};

use crate::cli::ClusterArgs;

/// Why a machine cannot take part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterArgsError {
    #[error(
        "--peers names no node {node}: --node says which of them this machine is, and the list is the same on each"
    )]
    NotListed { node: u32 },
    #[error(
        "--peers needs one secret for all machines: set MAYDAY_JWT_SECRET to the same 32 bytes or more on each, or a \
         resident's token is good on one of them alone"
    )]
    NoCommonSecret,
    #[error("MAYDAY_JWT_SECRET is no good for peers")]
    Secret(#[source] SecretTooShort),
}

/// Tells the log of its peers, if there are any. It listens for clients and for them at the address that the list has
/// for this machine; where that is a name, at every address.
pub(crate) fn with_peers(
    mut config: Config,
    args: &ClusterArgs,
    common_secret: Option<&str>,
) -> Result<Config, ClusterArgsError> {
    config.node_id = NodeId(args.node);
    config.insecure_log = args.insecure_log;
    if args.peers.is_empty() {
        return Ok(config);
    }
    let own = own_peer(args)?;
    let secret = common_secret.ok_or(ClusterArgsError::NoCommonSecret)?;
    let (host, port) = own
        .address
        .rsplit_once(':')
        .expect("a peer is read with its port");
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    config.advertised = (config.listen.port() != 0).then(|| Advertised {
        host: host.to_owned(),
        port: config.listen.port(),
    });
    config.listen.set_ip(address);
    let port = port.parse().expect("a peer is read with its port");
    config.peer_listen = Some(SocketAddr::new(address, port));
    config.peer_secret =
        Some(PeerSecret::new(secret.as_bytes()).map_err(ClusterArgsError::Secret)?);
    config.peers.clone_from(&args.peers);
    Ok(config)
}

fn own_peer(args: &ClusterArgs) -> Result<&Peer, ClusterArgsError> {
    let own = NodeId(args.node);
    let listed = args.peers.iter().find(|peer| peer.node == own);
    listed.ok_or(ClusterArgsError::NotListed { node: args.node })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of at least thirty-two bytes!";

    fn args(node: u32, peers: &str) -> ClusterArgs {
        ClusterArgs {
            peers: peers
                .split(',')
                .filter(|one| !one.is_empty())
                .map(|one| one.parse().unwrap())
                .collect(),
            node,
            insecure_log: false,
        }
    }

    #[test]
    fn a_machine_alone_listens_on_loopback_and_needs_no_common_secret() {
        let config = with_peers(Config::on("data"), &args(1, ""), None).unwrap();
        assert!(config.listen.ip().is_loopback());
        assert!(config.peers.is_empty() && config.peer_listen.is_none());
    }

    #[test]
    fn a_machine_listens_where_the_list_says_and_clients_are_told_the_same() {
        let peers = "1@10.0.0.1:9093,2@[fd00::2]:9093,3@three.example:9193";
        let of = |node| with_peers(Config::on("data"), &args(node, peers), Some(SECRET)).unwrap();

        let first = of(1);
        assert_eq!(first.listen, "10.0.0.1:9092".parse().unwrap());
        assert_eq!(first.peer_listen, Some("10.0.0.1:9093".parse().unwrap()));
        assert_eq!(first.peers.len(), 3);
        let second = of(2);
        assert_eq!(second.listen, "[fd00::2]:9092".parse().unwrap());
        assert_eq!(second.advertised.unwrap().host, "fd00::2");
        let third = of(3);
        assert_eq!(third.peer_listen, Some("0.0.0.0:9193".parse().unwrap()));
        assert_eq!(third.advertised.unwrap().host, "three.example");
    }

    #[test]
    fn a_machine_that_is_not_listed_or_shares_no_secret_is_told_what_to_do() {
        let peers = "1@10.0.0.1:9093,2@10.0.0.2:9093,3@10.0.0.3:9093";
        let refused = |node, secret| {
            let joined = with_peers(Config::on("data"), &args(node, peers), secret);
            joined.unwrap_err().to_string()
        };
        assert!(refused(4, Some(SECRET)).contains("--peers names no node 4"));
        assert!(refused(1, None).contains("set MAYDAY_JWT_SECRET"));
    }
}
